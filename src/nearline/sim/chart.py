"""Small line charts as SVG, side by side: one panel per measure, one line per configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 300, 210, 52, 14, 40, 34
COLOURS = ("#1b6ca8", "#d1495b", "#3c8d40", "#8a5a9e", "#c98b1a", "#555555")


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart.

    Attributes:
        title: above it.
        lines: values by name, each with its standard error; NaN where there is none.
    """

    title: str
    lines: Mapping[str, Sequence[tuple[float, float]]]


def svg(title: str, panels: Sequence[Panel], axis: str = "week", columns: int = 3, points: Sequence[str] = ()) -> str:
    """Return a picture; points have names or are numbered from 1, bars are one standard error to both sides."""
    rows = -(-len(panels) // columns)
    names = list(dict.fromkeys(name for panel in panels for name in panel.lines))
    width, height = columns * WIDTH, 64 + rows * HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="11" fill="#222">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="12" y="22" font-size="15">{escape(title)}</text>',
    ]
    x = 12.0
    for place, name in enumerate(names):
        parts.append(f'<rect x="{x:.0f}" y="36" width="14" height="4" fill="{_colour(place)}"/>')
        parts.append(f'<text x="{x + 19:.0f}" y="42">{escape(name)}</text>')
        x += 40 + 6.5 * len(name)
    for place, panel in enumerate(panels):
        row, column = divmod(place, columns)
        parts.append(f'<g transform="translate({column * WIDTH},{56 + row * HEIGHT})">{_panel(panel, names, axis, points)}</g>')
    return "\n".join([*parts, "</svg>\n"])


def _panel(panel: Panel, names: Sequence[str], axis: str, labels: Sequence[str]) -> str:
    bounds = [value + sign * (0 if math.isnan(error) else error) for line in panel.lines.values() for value, error in line
              for sign in (-1, 1) if not math.isnan(value)]  # fmt: skip
    marks = ticks(min(bounds, default=0.0), max(bounds, default=1.0))
    low, high = marks[0], marks[-1]
    n = max((len(line) for line in panel.lines.values()), default=1)

    def at(place: int, value: float) -> tuple[float, float]:
        across = (WIDTH - LEFT - RIGHT) * (place / (n - 1) if n > 1 else 0.5)
        return LEFT + across, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / (high - low)

    parts = [f'<text x="{LEFT}" y="{TOP - 12}" font-size="12">{escape(panel.title)}</text>']
    for mark in marks:
        y = at(0, mark)[1]
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{mark:.4g}</text>')
    for place, label in enumerate(labels or [str(place + 1) for place in range(n)]):
        parts.append(
            f'<text x="{at(place, low)[0]:.1f}" y="{HEIGHT - BOTTOM + 14}" text-anchor="middle">{escape(label)}</text>'
        )
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 6}" text-anchor="end">{escape(axis)}</text>')
    for name, line in panel.lines.items():
        colour = _colour(names.index(name))
        points = [(at(place, value), error) for place, (value, error) in enumerate(line) if not math.isnan(value)]
        path = " ".join(f"{x:.1f},{y:.1f}" for (x, y), _ in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for (x, y), error in points:
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>')
            if not math.isnan(error) and error:
                reach = (HEIGHT - TOP - BOTTOM) * error / (high - low)
                parts.append(f'<path d="M{x:.1f} {y - reach:.1f}V{y + reach:.1f}" stroke="{colour}"/>')
    return "".join(parts)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return round numbers around [low, high], at most `most` + 2 of them, at least two."""
    span = max(high - low, abs(high) * 1e-3, 1e-9)
    raw = span / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    first = math.floor(low / step + 1e-9)
    last = max(math.ceil(high / step - 1e-9), first + 1)
    return [round(place * step, 12) for place in range(first, last + 1)]


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]
