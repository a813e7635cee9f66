"""Examples as a training has them, in files: lists to learn from, and later lists with every candidate to judge rankers by.

What `benchmarks.rankers` compares is rankers and nothing else, so all of them get the same rows: those that the Teacher reads
off the application's own pipeline, from data that the test part of protocol A is not in.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.table import say
from nearline.app.binding import build_pipeline
from nearline.app.definition import App
from nearline.app.load import load_app
from nearline.app.sections import Settings
from nearline.app.tenant import Tenant
from nearline.batch.cleaning import clean
from nearline.batch.dataset import for_asking
from nearline.batch.importers import load_dataset
from nearline.batch.importing import import_dataset
from nearline.batch.protocols import leave_one_out
from nearline.batch.replaying import replay
from nearline.batch.splitting import before, split_times
from nearline.batch.teaching import Teacher, gather, lessons_in_order, sampled_lessons
from nearline.embedded.evaluation import app_source, evaluation_settings, learn_from_all
from nearline.pipeline.ordering import ordered
from nearline.pipeline.run import Run
from nearline.schema.candidates import F32, I32
from nearline.schema.clock import HOUR
from nearline.schema.components import Examples, FitData, ReadContext
from nearline.schema.ids import keys
from nearline.stores.history import iter_records
from nearline.stores.timeline import timeline


@dataclass(frozen=True, slots=True)
class Lessons:
    """Examples to learn from, and lists to judge by.

    Attributes:
        taught: what the Teacher made.
        x: every candidate of the later lists, `[n, n_features] float32`.
        group: which list, `[n] int32`.
        target: whether it is what the user took next, `[n] bool`; a list may lack it.
        fusion: place by reciprocal rank fusion in its list, from 0, `[n] int32`.
        lists: how many there are.
    """

    taught: Examples
    x: F32
    group: I32
    target: NDArray[np.bool_]
    fusion: I32
    lists: int


def lessons(data: Path, cache: Path, most: int = 1500, examples: int = 16_000) -> Lessons:
    """Return the lessons of a data set, made once and kept in `cache`."""
    file = cache / f"{data.name}.npz"
    if not file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="nearline-") as folder:
            _save(file, _made(data, Path(folder), most, examples))
    found = np.load(file)
    taught = Examples(
        found["taught_x"],
        found["y"],
        found["weight"],
        found["taught_group"],
        found["features"].tolist(),
        found["outcomes"].tolist(),
    )
    return Lessons(taught, found["x"], found["group"], found["target"], found["fusion"], int(found["lists"]))


def _save(file: Path, made: Lessons) -> None:
    taught = made.taught
    np.savez(
        file, taught_x=taught.x, y=taught.y, weight=taught.weight, taught_group=taught.group,
        features=np.array(taught.features), outcomes=np.array(taught.outcomes),
        x=made.x, group=made.group, target=made.target, fusion=made.fusion, lists=np.array(made.lists),
    )  # fmt: skip


def _tenant(data: Path, folder: Path) -> Tenant:
    dataset = for_asking(load_dataset(data))
    known = leave_one_out(dataset, "validation").known
    settings = evaluation_settings(learn_from_all(Settings(), known), folder)
    (folder / "app.py").write_text(app_source(dataset), encoding="utf-8")
    app: App = load_app(folder / "app.py")
    import_dataset(Tenant(app, settings), dataset, known)
    return Tenant(app, settings)


def _made(data: Path, folder: Path, most: int, examples: int) -> Lessons:
    tenant = _tenant(data, folder)
    settings, kinds = tenant.settings.train, tenant.kinds
    log = tenant.log(read_only=True)
    events = timeline(log, tenant.lake, kinds, tenant.settings.state.dedupe_hours * HOUR).events
    cleaned, _ = clean(events, tenant.meta.order_only)
    times = split_times(cleaned, settings, tenant.meta.order_only)
    cleaned = cleaned[cleaned["ts"] >= times.begin]
    world = tenant.world()
    items = world.adopt(iter_records(log, tenant.lake, "item_events"))
    log.close()
    past = FitData(cleaned[before(cleaned, times.fitted)], keys(item.item_id for item in items), times.fitted, settings.seed)
    arrays = {source.name: source.fit(past) for source in tenant.parts.sources}
    pipeline = build_pipeline(tenant, world, arrays)
    say(f"{data.name}: sources fitted")
    own = sampled_lessons(cleaned, kinds, times.fitted, times.taught, examples, settings.seed)
    later = sampled_lessons(cleaned, kinds, times.taught, times.end, most, settings.seed)
    teacher = Teacher(pipeline, tenant.app.outcomes, settings.seed)
    for moment in replay(world, events[events["ts"] <= times.taught], lessons_in_order(own)):
        teacher.take(own[moment.label])
    say(f"{data.name}: {len(own):,} lists read")
    x, target, fusion = [], [], []
    for moment in replay(world, events, lessons_in_order(later)):
        run = Run(later[moment.label].moment.query, len(pipeline.sources))
        gather(pipeline, run)
        assert run.candidates is not None
        assert run.user is not None
        context = ReadContext(run.query, run.user, run.candidates, world.rows, world.columns)
        x.append(np.array(pipeline.features.read(context).T))
        target.append(run.candidates.items == world.item_slots(later[moment.label].items)[0])
        place = np.empty(len(run.candidates), np.int32)
        place[ordered(run.candidates.fusion)] = np.arange(len(place))
        fusion.append(place)
    say(f"{data.name}: {len(later):,} lists to judge by")
    group = np.repeat(np.arange(len(x), dtype=np.int32), [len(each) for each in x])
    return Lessons(teacher.examples(), np.concatenate(x), group, np.concatenate(target), np.concatenate(fusion), len(x))
