"""`nearline simulate --weeks`: configurations side by side in virtual time, as table, report and picture."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from nearline.cli.main import cli
from nearline.embedded.simulation import arm
from nearline.embedded.weeks import Comparison, by_week
from nearline.schema.clock import DAY
from nearline.schema.errors import NearlineError
from nearline.sim.config import ShopConfig
from nearline.sim.report import ListNote
from nearline.sim.world import ShopWorld
from nearline.sim.worth import Worth


def call(*arguments: str) -> tuple[int, str, Exception | None]:
    done = CliRunner().invoke(cli, ["simulate", *arguments])
    error = done.exception
    return done.exit_code, done.output, error if isinstance(error, Exception) else None


@pytest.mark.timeout(290)
def test_a_week_of_two_configurations(tmp_path: Path) -> None:
    size = ("--users", "120", "--items", "200", "--seed", "4")
    arms = ("--arm", "at once", "--arm", "at midnight:state=midnight;rules.diversity=0")
    code, output, error = call("--virtual", "--weeks", "1", *size, *arms, "--report", str(tmp_path))
    assert code == 0, (output, error)
    found = msgspec.json.decode((tmp_path / "report.json").read_bytes(), type=Comparison)
    assert (found.seed, found.users) == (4, 120 + round(120 * 0.005 * 56))
    assert [one.name for one in found.arms] == ["at once", "at midnight"]
    for one in found.arms:
        assert one.errors == 0
        assert set(one.served_from) == {"ranker"}
        assert one.releases == ["r000001"]
        assert [week.week for week in one.weeks] == [1]
        total = one.total
        assert total.lists == one.weeks[0].lists == sum(one.served_from.values())
        # What happened is what was to be expected, within luck.
        assert abs(total.clicks.mean - total.true_clicks.mean) < 5 * total.clicks.error
        assert total.true_value.mean == pytest.approx(total.true_clicks.mean + 8 * total.true_purchases.mean)
        assert 0 < total.attained < 1
        assert 0 < total.coverage <= 1
        assert 0 < total.gini < 1
    # The same people came to both, and what they did made the lists differ.
    first, second = (one.total for one in found.arms)
    assert abs(first.lists - second.lists) < 0.1 * first.lists
    assert first.true_clicks.mean != second.true_clicks.mean
    ElementTree.fromstring((tmp_path / "report.svg").read_text())
    assert "at midnight" in output

    _, _, error = call("--virtual", "--weeks", "1", *size, "--report", str(tmp_path))
    assert error is not None
    assert "report.json" in str(error)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--virtual"], "--weeks"),
        (["--virtual", "--weeks", "1", "--against", "http://127.0.0.1:1"], "--against"),
        (["--virtual", "--weeks", "9"], "--weeks"),
        (["--against", "http://127.0.0.1:1", "--arm", "a:rules.diversity=0"], "--arm"),
        (["--against", "http://127.0.0.1:1", "--report", "there"], "--report"),
        (["--virtual", "--weeks", "1", "--arm", "a:diversity"], "--arm"),
        (["--virtual", "--weeks", "1", "--arm", "a:state=noon"], "--arm"),
        (["--virtual", "--weeks", "1", "--users", "60", "--items", "60", "--arm", "a:rules.divrsity=0"], "DIVRSITY"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], named: str) -> None:
    _, _, error = call(*arguments)
    assert isinstance(error, NearlineError)
    assert named in str(error)


def test_an_arm_is_a_name_settings_and_a_state() -> None:
    made = arm("plain: rules.diversity=0; train.every=24h")
    assert (made.name, made.settings, made.state) == ("plain", {"rules.diversity": "0", "train.every": "24h"}, "streamed")
    assert arm("x:state=midnight").state == "midnight"


def test_weeks_count_lists_coverage_and_new_items() -> None:
    world = ShopWorld(1, users=3, items=60, bots=0, config=ShopConfig(new_items=1 / 60, horizon_days=28))
    born = world.catalog.created_at
    old = np.flatnonzero(born < world.end_ms - 40 * DAY)[:3]
    later = np.argsort(born)[-1:]
    last = int(born[later[0]])

    def note(day: int, user: int, at: int, items: list[int], clicks: int) -> ListNote:
        nothing = (0.5, 1.0, 0.0)
        return ListNote(day, user, at, np.array(items), clicks, 0, Worth(0.25, 0.01), nothing, nothing)

    notes = [
        note(0, 0, world.end_ms, [old[0], old[1]], 1),
        note(6, 0, world.end_ms + 6 * DAY, [old[0], old[1]], 1),
        note(27, 1, last + 1, [old[2], int(later[0])], 0),
        note(27, 2, last + 1, [old[2], old[0]], 2),
    ]
    weeks, total = by_week(notes, world)
    assert [week.week for week in weeks] == [1, 4]
    assert [week.lists for week in (*weeks, total)] == [2, 2, 4]
    assert (weeks[0].clicks.mean, weeks[1].clicks.mean) == (1.0, 1.0)
    assert np.isnan(weeks[0].clicks.error)  # one visitor alone says nothing of others
    assert weeks[1].clicks.error == pytest.approx(1.0)
    there = int((born <= notes[1].at).sum())
    assert weeks[0].coverage == pytest.approx(2 / there)
    assert (weeks[0].new_share, weeks[1].new_share) == (0.0, 0.25)
    assert total.coverage == pytest.approx(4 / len(world.items))
    assert weeks[1].attained == pytest.approx(0.5)
    assert total.true_value.mean == pytest.approx(0.25 + 8 * 0.01)
