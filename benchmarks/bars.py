"""Horizontal bars with their errors as SVG: what is worth how much, the dearest first."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from nearline.sim.chart import COLOURS, ticks

WIDTH, NAME, ROW, TOP = 720, 210, 18, 62
Bar = tuple[str, str, float, float]
"""Kind, name, value, and its standard error."""


def picture(title: str, axis: str, bars: Sequence[Bar]) -> str:
    """Return one row a bar, in the order given, coloured by kind."""
    kinds = list(dict.fromkeys(kind for kind, *_ in bars))
    ends = [value + sign * error for _, _, value, error in bars for sign in (-1, 1)]
    marks = ticks(min(0.0, *ends), max(0.0, *ends))
    low, high = marks[0], marks[-1]

    def at(value: float) -> float:
        return NAME + (WIDTH - NAME - 20) * (value - low) / (high - low)

    bottom = TOP + ROW * len(bars)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 40}" width="{WIDTH}" height="{bottom + 40}" '
        'font-family="sans-serif" font-size="11" fill="#222">',
        f'<rect width="{WIDTH}" height="{bottom + 40}" fill="#fff"/><text x="12" y="22" font-size="15">{escape(title)}</text>',
    ]
    for n, kind in enumerate(kinds):
        x = 12 + 130 * n
        parts.append(
            f'<rect x="{x}" y="34" width="10" height="10" fill="{COLOURS[n]}"/><text x="{x + 15}" y="43">{kind}</text>'
        )
    for mark in marks:
        stroke = "#888" if mark == 0 else "#e4e4e4"
        parts.append(f'<line x1="{at(mark):.1f}" x2="{at(mark):.1f}" y1="{TOP - 6}" y2="{bottom}" stroke="{stroke}"/>')
        parts.append(f'<text x="{at(mark):.1f}" y="{bottom + 14}" text-anchor="middle">{mark:g}</text>')
    parts.append(f'<text x="{(NAME + WIDTH) / 2}" y="{bottom + 32}" text-anchor="middle">{escape(axis)}</text>')
    for n, (kind, name, value, error) in enumerate(bars):
        y, left, right = TOP + ROW * n, *sorted((at(0.0), at(value)))
        colour = COLOURS[kinds.index(kind)]
        parts.append(f'<text x="{NAME - 8}" y="{y + 10}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect x="{left:.1f}" y="{y}" width="{right - left:.1f}" height="{ROW - 6}" fill="{colour}"/>')
        ends_at = f'x1="{at(value - error):.1f}" x2="{at(value + error):.1f}" y1="{y + 6}" y2="{y + 6}"'
        parts.append(f'<line {ends_at} stroke="#222" stroke-width="1.2"/>')
    return "\n".join([*parts, "</svg>\n"])
