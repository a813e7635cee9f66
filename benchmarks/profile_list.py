"""Where the time of one list goes: microseconds of each step, in process, on one thread.

Wall clock, and processor time, which other programs on the machine lengthen less: by the caches they take, and by
what a virtual machine's neighbours steal. So it also times a known kernel: the design's box took 335 µs when quiet.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.server import SERVER
from benchmarks.table import Row, machine, percentile, say
from benchmarks.world import arguments, make
from nearline.app.binding import build_pipeline
from nearline.app.tenant import Tenant
from nearline.pipeline.pipeline import Pipeline
from nearline.pipeline.steps import Step
from nearline.schema.ids import visitor_key
from nearline.schema.query import Query
from nearline.serving.recommender import Recommender
from nearline.stream.local import LocalStream

COMMAND = "python -m benchmarks.profile_list"
Times = dict[str, list[tuple[float, float]]]
"""Seconds of wall clock and of processor time, by step."""


def opened(tenant: Tenant) -> Recommender:
    """Return the tenant as the server runs it, without its threads."""
    stream = LocalStream(tenant)
    log = tenant.log(read_only=True)
    stream.restore(log)
    log.close()
    release = tenant.releases.load(tenant.releases.current(), tenant.feature_set)
    pipeline = build_pipeline(tenant, stream.world, release.arrays, release.manifest.version)
    return Recommender(tenant, stream.world, pipeline)


def now() -> tuple[float, float]:
    """Return wall clock and this thread's processor time."""
    return time.perf_counter(), time.thread_time()


def since(begin: tuple[float, float], end: tuple[float, float]) -> tuple[float, float]:
    """Return what passed of both."""
    return end[0] - begin[0], end[1] - begin[1]


def timed(pipeline: Pipeline, times: Times) -> None:
    """Make each step note its time."""

    def around(step: Step) -> Step:
        def act(run: object) -> None:
            began = now()
            step.act(run)  # type: ignore[arg-type]
            times[step.name].append(since(began, now()))

        return replace(step, act=act)

    pipeline.plans = {surface: tuple(around(step) for step in steps) for surface, steps in pipeline.plans.items()}


def reference() -> float:
    """Return median processor seconds of an exact top 500 of 60,000 items in 64 dimensions."""
    rng = np.random.default_rng(1)
    items, user = rng.random((60_000, 64), np.float32), rng.random(64, np.float32)
    taken = []
    for _ in range(50):
        began = time.thread_time()
        np.argpartition(items @ user, -500)
        taken.append(time.thread_time() - began)
    return percentile(taken, 0.5)


def profile(recommender: Recommender, users: tuple[str, ...], n: int) -> tuple[Times, list[int]]:
    """Make `n` lists; return seconds by step and the candidates of each."""
    times: Times = defaultdict(list)
    tenant, encode = recommender.tenant, msgspec.json.Encoder().encode
    pipeline = recommender.pipeline
    plain = pipeline.plans
    counts: list[int] = []
    for place in range(-100, n):
        if place == 0:
            timed(pipeline, times)
        user = users[place % len(users)]
        began = now()
        query = Query(visitor_key(user, ""), tenant.clock.now(), user_id=user)
        run = recommender.start(query)
        pipeline.advance(run)
        advanced = now()
        served, impression = recommender.finish(run, pipeline)
        finished = now()
        encode(served)
        encoded = now()
        if place >= 0:
            times["finish: the list and its impression"].append(since(advanced, finished))
            times["encode"].append(since(finished, encoded))
            times["= all steps, with what is between them"].append(since(began, advanced))
            times["= in process"].append(since(began, encoded))
            assert run.candidates is not None
            assert impression is not None
            counts.append(len(run.candidates))
    pipeline.plans = plain
    return times, counts


def run(folder: Path, n: int = 1000) -> list[Row]:
    """Print the profile and return its sum."""
    bench = make(folder)
    os.sched_setaffinity(0, {SERVER})
    recommender = opened(bench.tenant())
    features = len(recommender.pipeline.features)
    times, counts = profile(recommender, bench.users, n)
    print(f"\n{n:,} lists, {percentile(counts, 0.5):,.0f} candidates, {features} features; {machine()}\n")
    print("| step | median µs | p90 µs | median processor µs | share of that |\n| --- | --- | --- | --- | --- |")
    total = percentile([cpu for _, cpu in times["= in process"]], 0.5)
    for name, values in times.items():
        wall, cpu = [wall for wall, _ in values], percentile([cpu for _, cpu in values], 0.5)
        middle, high = percentile(wall, 0.5), percentile(wall, 0.9)
        print(f"| {name} | {middle * 1e6:.0f} | {high * 1e6:.0f} | {cpu * 1e6:.0f} | {cpu / total:.1%} |")
    say(f"in process: {1 / total:,.0f} lists per second of processor time")
    return [Row("a list in process, without HTTP: processor time", f"{total * 1e6:,.0f} µs", "", "", COMMAND)]


def main() -> None:
    """Run it alone."""
    parser = arguments(__doc__)
    parser.add_argument("--lists", type=int, default=1000, help="lists to profile")
    options = parser.parse_args()
    run(options.folder, options.lists)


if __name__ == "__main__":
    main()
