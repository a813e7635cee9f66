"""Learning from lists that somebody else showed: trivago's click-outs, re-ranked by what was learned from earlier ones.

`python -m benchmarks.shown_lists` imports the sample (`../shared/data/trivago-100k`, or `--data`) into a throw-away tenant,
trains on the first part of its time, and orders the list of each later click-out anew: the code that serves reads the
features as of that moment, and the ranker of the release scores them. MRR of the item clicked, with standard errors over
visitors, beside the order in which the list was shown, popularity (click-outs before), the last item touched, and chance.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.quality import DATA
from benchmarks.table import say
from nearline.app.binding import build_pipeline
from nearline.app.load import load_app
from nearline.app.settings import load_settings
from nearline.app.tenant import Tenant
from nearline.batch.dataset import for_asking
from nearline.batch.importers import load_dataset
from nearline.batch.importing import import_dataset
from nearline.batch.replaying import Moment, replay
from nearline.batch.splitting import TimeSplit
from nearline.batch.teaching import Lesson, Teacher
from nearline.batch.training import train
from nearline.schema.event import Events, concat
from nearline.schema.ids import keys
from nearline.schema.served import Impression
from nearline.stores.history import history, iter_records

APP = """
from nearline import App, EventType
app = App(
    name="hotels",
    events=[
        EventType("interaction", role="view"),
        EventType("lookup", role="view"),
        EventType("clickout", weight=4, role="click", outcome=True),
    ],
)
"""
FITTED, TAUGHT = 0.3, 0.75
"""Shares of the time after which sources are fitted, and the ranker is taught."""


ORDERS = (
    "ranker",
    "as shown",
    "popularity",
    "last touched, then at random",
    "last touched, then as shown",
    "at random",
)


@dataclass(slots=True)
class Score:
    """Reciprocal ranks of the clicked item by visitor."""

    by_visitor: dict[int, list[float]] = field(default_factory=dict)

    def add(self, visitor: int, order: NDArray[np.float64], clicked: int) -> None:
        """Count a list by its scores, the best first; ties count as the middle of their places."""
        mine = order[clicked]
        rank = 1.0 + float((order > mine).sum()) + (float((order == mine).sum()) - 1.0) / 2.0
        self.by_visitor.setdefault(visitor, []).append(1.0 / rank)

    def mean(self) -> tuple[float, float]:
        """Return the mean and its standard error; lists of one visitor are one draw."""
        sums = np.array([sum(values) for values in self.by_visitor.values()])
        counts = np.array([len(values) for values in self.by_visitor.values()])
        mean = sums.sum() / counts.sum()
        error = np.sqrt(((sums - mean * counts) ** 2).sum()) / counts.sum()
        return float(mean), float(error)


def difference(one: Score, other: Score) -> tuple[float, float]:
    """Return the mean difference over the same lists, and its standard error over visitors."""
    sums = np.array([sum(one.by_visitor[v]) - sum(other.by_visitor[v]) for v in one.by_visitor])
    counts = np.array([len(values) for values in one.by_visitor.values()])
    mean = sums.sum() / counts.sum()
    return float(mean), float(np.sqrt(((sums - mean * counts) ** 2).sum()) / counts.sum())


def lists_after(tenant: Tenant, time: int) -> tuple[list[Lesson], Events]:
    """Return the shown lists after `time` (ms UTC) whose clicked item is in them, and all events."""
    log = tenant.log(read_only=True)
    try:
        events = concat(list(history(log, tenant.lake, "user_events", kinds=tenant.kinds)))
        records = [record for _, page in iter_records(log, tenant.lake, "feedback") for record in page]
    finally:
        log.close()
    lessons: list[Lesson] = []
    for record in records:
        shown = msgspec.json.decode(record.context, type=Impression)
        if shown.now <= time or len(shown.items) < 2:
            continue
        clicked = keys(shown.items) == events[shown.offset]["item"]
        if clicked.sum() == 1:
            moment = Moment(shown.offset, shown.query(record), len(lessons))
            lessons.append(Lesson(moment, keys(shown.items), clicked.astype(np.float32)[:, None], True))
    return lessons, events


def measure(tenant: Tenant, split: TimeSplit) -> Mapping[str, Score]:
    """Return the scores of each order over the click-outs after `split.taught`."""
    lessons, events = lists_after(tenant, split.taught)
    version = tenant.releases.current()
    world = tenant.world()
    log = tenant.log(read_only=True)
    world.adopt(iter_records(log, tenant.lake, "item_events"))
    log.close()
    release = tenant.releases.load(version, tenant.feature_set)
    pipeline = build_pipeline(tenant, world, release.arrays, version)
    ranker = copy.copy(tenant.parts.ranker)
    ranker.load(release.arrays[ranker.name])
    clickout = tenant.kinds.place("clickout")
    scores = {name: Score() for name in ORDERS}
    counted: dict[int, int] = {}
    last: dict[int, int] = {}
    done = 0
    random = np.random.default_rng(0)
    for moment in replay(world, events, [lesson.moment for lesson in lessons]):
        lesson = lessons[moment.label]
        for row in events[done : moment.offset]:
            last[int(row["user"])] = int(row["item"])
            if row["kind"] == clickout:
                counted[int(row["item"])] = counted.get(int(row["item"]), 0) + 1
        done = moment.offset
        teacher = Teacher(pipeline, tenant.app.outcomes, 0)
        teacher.take(lesson)
        n, visitor, clicked = len(lesson.items), lesson.moment.query.visitor, int(lesson.outcomes[:, 0].argmax())
        shown = -np.arange(n, dtype=np.float64)
        touched = lesson.items == np.uint64(last.get(visitor, 0))
        for name, order in (
            ("ranker", ranker.score(np.ascontiguousarray(teacher.examples().x.T))[0].astype(np.float64)),
            ("as shown", shown),
            ("popularity", np.array([counted.get(item, 0) for item in lesson.items.tolist()], np.float64)),
            ("last touched, then at random", np.where(touched, 1.0, -random.random(n))),
            ("last touched, then as shown", np.where(touched, 1.0, shown)),
            ("at random", random.random(n)),
        ):
            scores[name].add(visitor, order, clicked)
    return scores


def main() -> None:
    """Import, train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA / "trivago-100k")
    parser.add_argument("--lists", type=int, default=20_000, help="lists to learn from at most")
    options = parser.parse_args()
    if not options.data.exists():
        say(f"{options.data} is absent; name the data with --data")
        return
    dataset = for_asking(load_dataset(options.data))
    times = dataset.rows["timestamp"].to_numpy()
    first, end = int(times[0]), int(times[-1])
    split = TimeSplit(first, first + int(FITTED * (end - first)), first + int(TAUGHT * (end - first)), end)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "app.py").write_text(APP)
        settings = load_settings(None, {"NEARLINE_STORAGE_PATH": name + "/data", "NEARLINE_TRAIN_EXAMPLES": str(options.lists)})
        app = load_app(folder / "app.py")
        import_dataset(Tenant(app, settings), dataset)
        outcome = train(Tenant(app, settings), say, split)
        if not outcome.published:
            say("the release was refused")
            return
        scores = measure(Tenant(app, settings), split)
    lists = sum(len(values) for values in scores["ranker"].by_visitor.values())
    print(f"\n{lists:,} later click-outs of {len(scores['ranker'].by_visitor):,} visitors\n")
    print("| order | MRR | ± | against as shown | ± |\n| --- | ---: | ---: | ---: | ---: |")
    for name, score in scores.items():
        mean, error = score.mean()
        more, unsure = difference(score, scores["as shown"])
        print(f"| {name} | {mean:.4f} | {error:.4f} | {more:+.4f} | {unsure:.4f} |")


if __name__ == "__main__":
    main()
