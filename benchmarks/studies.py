"""Studies in the simulated shop: what real-time state, diversity and exploration cost and bring, over seeds.

`python -m benchmarks.studies NAME` prints a table and writes `NAME.json` and `NAME.svg` into `--out`. Each configuration faces
the same people in its own copy of the world; differences are taken seed by seed, and their standard errors are over seeds.
What a simulator says is about its shop: see docs/simulation.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.table import machine, say
from nearline.batch.metrics import Estimate, estimate
from nearline.embedded.simulation import Arm, WeeksPlan, arm, compare
from nearline.embedded.weeks import ArmReport, Comparison, WeekReport
from nearline.sim.chart import Panel, svg
from nearline.sim.config import LIVELY
from nearline.sim.world import ShopWorld

COMMAND = "python -m benchmarks.studies"
MEASURES = {
    "clicks": "clicks per list",
    "true_clicks": "true clicks per list",
    "purchases": "purchases per list",
    "true_value": "true value per list",
    "coverage": "coverage of the catalogue",
    "gini": "Gini of exposure",
    "new_share": "share of new items shown",
}
COMPARED = ("clicks", "true_clicks", "true_value")
"""Measures whose relative difference to the first configuration is given."""


@dataclass(frozen=True, slots=True)
class Study:
    """One question.

    Attributes:
        question: the picture's title.
        arms: configurations; the others are compared with the first.
        plan: how long.
        users: of the world.
        items: of the world.
    """

    question: str
    arms: tuple[Arm, ...]
    plan: WeeksPlan
    users: int
    items: int


STUDIES = {
    "realtime": Study(
        "State of yesterday or of now",
        (arm("midnight:state=midnight"), arm("streamed")),
        WeeksPlan(weeks=1),
        150,
        400,
    ),
    "variety": Study(
        "What diversity and exploration cost and bring",
        (
            arm("neither:rules.diversity=0;rules.per_category=0;rules.categories=0;rules.exploration=0"),
            arm("diversity:rules.exploration=0"),
            arm("diversity and exploration"),
        ),
        WeeksPlan(weeks=3),
        100,
        300,
    ),
}


class Finding(msgspec.Struct, frozen=True):
    """What a study came to: means over seeds, and differences to the first configuration."""

    study: str
    command: str
    machine: str
    seconds: float
    seeds: list[int]
    totals: dict[str, dict[str, Estimate]]
    changes: dict[str, dict[str, Estimate]]
    runs: list[Comparison]


def run(name: str, seeds: Sequence[int], jobs: int = 1) -> Finding:
    """Run a study over seeds, `jobs` of them at a time."""
    study = STUDIES[name]
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        done = list(pool.map(partial(one_seed, name), seeds))
    runs = [found for found, _ in done]
    names = [one.name for one in study.arms]
    totals = {one: {field: _over([_arm(run, one).total for run in runs], field) for field in MEASURES} for one in names}
    changes = {one: {field: _change(runs, names[0], one, field) for field in COMPARED} for one in names[1:]}
    command = f"{COMMAND} {name} --seeds {' '.join(map(str, seeds))}"
    return Finding(name, command, machine(), round(sum(seconds for _, seconds in done), 1), list(seeds), totals, changes, runs)


def one_seed(name: str, seed: int) -> tuple[Comparison, float]:
    """Run a study in one world; return what it came to, and the seconds of processor time."""
    began, study = time.process_time(), STUDIES[name]
    world = ShopWorld(seed, study.users, study.items, bots=1, config=LIVELY)
    found = compare(world, study.arms, study.plan, lambda text: say(f"  seed {seed}: {text}"))
    return found, time.process_time() - began


def table(found: Finding) -> str:
    """Return the finding as markdown."""
    first = STUDIES[found.study].arms[0].name
    head = ["", *MEASURES.values(), *(f"{MEASURES[field]}, to {first}" for field in COMPARED)]
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    for name, values in found.totals.items():
        cells = [f"{values[field].mean:.3f} ± {values[field].error:.3f}" for field in MEASURES]
        change = found.changes.get(name)
        cells += [f"{change[field].mean:+.1%} ± {change[field].error:.1%}" if change else "" for field in COMPARED]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def picture(found: Finding) -> str:
    """Return the measures by week, means over seeds with their standard errors."""
    panels = []
    for field, title in MEASURES.items():
        lines = {}
        for name in found.totals:
            weeks = zip(*(_arm(run, name).weeks for run in found.runs), strict=True)
            points = [_over(week, field) for week in weeks]
            lines[name] = [(point.mean, point.error) for point in points]
        panels.append(Panel(title, lines))
    return svg(f"{STUDIES[found.study].question} ({len(found.seeds)} seeds)", panels, columns=4)


def _arm(run: Comparison, name: str) -> ArmReport:
    return next(one for one in run.arms if one.name == name)


def _value(week: WeekReport, field: str) -> float:
    value = getattr(week, field)
    return float(value.mean if isinstance(value, Estimate) else value)


def _over(weeks: Sequence[WeekReport], field: str) -> Estimate:
    return estimate([_value(week, field) for week in weeks])


def _change(runs: Sequence[Comparison], first: str, other: str, field: str) -> Estimate:
    """Return the relative difference to the first configuration, seed by seed."""
    pairs = [(_value(_arm(run, first).total, field), _value(_arm(run, other).total, field)) for run in runs]
    return estimate([theirs / ours - 1 if ours else np.nan for ours, theirs in pairs])


def main() -> None:
    """Run one study, or all."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("names", nargs="*", help=f"which: {', '.join(STUDIES)}; all by default")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="one world each")
    parser.add_argument("--jobs", type=int, default=1, help="seeds at a time, each on a core")
    parser.add_argument("--out", type=Path, default=Path("docs/studies"), help="folder for JSON and SVG")
    options = parser.parse_args()
    if unknown := set(options.names) - set(STUDIES):
        parser.error(f"there is no study {', '.join(sorted(unknown))}; choose from {', '.join(STUDIES)}")
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.names or STUDIES:
        found = run(name, options.seeds, options.jobs)
        (options.out / f"{name}.json").write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1))
        (options.out / f"{name}.svg").write_text(picture(found), encoding="utf-8")
        print(f"{STUDIES[name].question}: `{found.command}`, {found.seconds:.0f} s of one core; {found.machine}\n")
        print(table(found), flush=True)


if __name__ == "__main__":
    main()
