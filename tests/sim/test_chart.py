"""Charts: well-formed, every point in its panel, round marks."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from nearline.sim.chart import HEIGHT, WIDTH, Panel, svg, ticks

SVG = "{http://www.w3.org/2000/svg}"
NAN = float("nan")


def test_a_picture_has_a_line_for_each_configuration_within_its_panel() -> None:
    panels = [
        Panel("clicks <per> list", {"a & b": [(0.31, 0.02), (0.35, 0.01), (NAN, NAN)], "plain": [(0.2, 0.1), (0.4, NAN)]}),
        Panel("nothing", {}),
        Panel("flat", {"plain": [(0.5, 0.0)]}),
        Panel("next row", {"plain": [(1e-7, 0.0), (2e5, 0.0)]}),
    ]
    root = ElementTree.fromstring(svg("A <shop>", panels))
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert {"A <shop>", "a & b", "plain", "clicks <per> list", "next row", "week"} <= set(texts)
    named = ElementTree.fromstring(svg("Named", panels[:1], points=("0", "1-2", "<9")))
    assert {"0", "1-2", "<9"} <= {element.text for element in named.iter(f"{SVG}text")}
    lines = list(root.iter(f"{SVG}polyline"))
    assert [len(line.attrib["points"].split()) for line in lines] == [2, 2, 1, 2]
    for line in lines:
        for point in line.attrib["points"].split():
            x, y = (float(part) for part in point.split(","))
            assert 0 < x < WIDTH
            assert 0 < y < HEIGHT


@given(st.floats(-1e9, 1e9), st.floats(0, 1e9))
def test_marks_are_round_and_around_all_values(low: float, span: float) -> None:
    marks = ticks(low, low + span)
    slack = 1e-6 * max(1e-9, abs(low) + span)
    assert 2 <= len(marks) <= 9
    assert marks == sorted(set(marks))
    assert marks[0] <= low + slack
    assert marks[-1] >= low + span - slack
