"""Small scatter charts as SVG, on linear or logarithmic axes, side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from nearline.sim.chart import COLOURS, ticks

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM, LEGEND = 640, 360, 62, 20, 34, 46, 190
Point = tuple[float, float, float]
"""x, y, and y's standard error (NaN or 0 for none)."""


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart.

    Attributes:
        title: above it.
        x: what the axis says; what y is, the title does.
        points: by name.
        log_x, log_y: whether the axis is logarithmic.
        joined: whether a series' points are joined by a line; else each has the number that its name has beside the chart.
        diagonal: whether y = x is drawn.
    """

    title: str
    x: str
    points: Mapping[str, Sequence[Point]]
    log_x: bool = False
    log_y: bool = False
    joined: bool = True
    diagonal: bool = False


def picture(title: str, charts: Sequence[Chart]) -> str:
    """Return the charts in one row."""
    width, height = len(charts) * WIDTH, 40 + HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="11" fill="#222">',
        f'<rect width="{width}" height="{height}" fill="#fff"/><text x="12" y="22" font-size="15">{escape(title)}</text>',
    ]
    parts += [f'<g transform="translate({n * WIDTH},36)">{_chart(chart)}</g>' for n, chart in enumerate(charts)]
    return "\n".join([*parts, "</svg>\n"])


def _marks(values: Sequence[float], log: bool) -> list[float]:
    if not log:
        return ticks(min(values), max(values))
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return [10.0**power for power in range(low, max(high, low + 1) + 1)]


def _chart(chart: Chart) -> str:
    every = [point for line in chart.points.values() for point in line]
    x_marks = _marks([x for x, _, _ in every], chart.log_x)
    y_marks = _marks([y for _, y, _ in every if y > 0 or not chart.log_y] or [1.0], chart.log_y)
    right_end = WIDTH - RIGHT - (0 if chart.joined else LEGEND)

    def across(value: float, marks: Sequence[float], log: bool) -> float:
        low, high, own = (math.log10(v) if log else v for v in (marks[0], marks[-1], max(value, marks[0])))
        return (own - low) / (high - low)

    def at(x: float, y: float) -> tuple[float, float]:
        right, up = across(x, x_marks, chart.log_x), across(y, y_marks, chart.log_y)
        return LEFT + (right_end - LEFT) * right, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * up

    parts = [f'<text x="{LEFT}" y="{TOP - 12}" font-size="12">{escape(chart.title)}</text>']
    for mark in y_marks:
        y = at(x_marks[0], mark)[1]
        parts.append(f'<path d="M{LEFT} {y:.1f}H{right_end}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{mark:.4g}</text>')
    for mark in x_marks:
        x = at(mark, y_marks[0])[0]
        parts.append(f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#eee"/>')
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{mark:,.4g}</text>')
    parts.append(f'<text x="{right_end}" y="{HEIGHT - 8}" text-anchor="end">{escape(chart.x)}</text>')
    if chart.diagonal:
        (a, b), (c, d) = at(max(x_marks[0], y_marks[0]), max(x_marks[0], y_marks[0])), at(*[min(x_marks[-1], y_marks[-1])] * 2)
        parts.append(f'<path d="M{a:.1f} {b:.1f}L{c:.1f} {d:.1f}" stroke="#999" stroke-dasharray="4 3"/>')
    for number, (name, line) in enumerate(chart.points.items()):
        colour = COLOURS[number % len(COLOURS)]
        places = [at(x, y) for x, y, _ in line]
        if chart.joined:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
            parts.append(f'<text x="{LEFT + 8}" y="{TOP + 14 + 14 * number}" fill="{colour}">{escape(name)}</text>')
        else:
            x, y = places[-1]
            parts.append(f'<text x="{x + 5:.1f}" y="{y - 4:.1f}" fill="{colour}">{number + 1}</text>')
            parts.append(
                f'<text x="{right_end + 14}" y="{TOP + 8 + 15 * number}" fill="{colour}">{number + 1}  {escape(name)}</text>'
            )
        for (x, y), (own_x, own_y, error) in zip(places, line, strict=True):
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" fill="{colour}"/>')
            if error > 0:
                low, high = at(own_x, max(own_y - error, y_marks[0]))[1], at(own_x, own_y + error)[1]
                parts.append(f'<path d="M{x:.1f} {low:.1f}V{high:.1f}" stroke="{colour}" stroke-opacity="0.35"/>')
    return "".join(parts)
