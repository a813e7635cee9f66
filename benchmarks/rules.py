"""What 200 declared rules cost a list: processor time in process, with and without them, in turns.

Once they boost, bury and exclude, once three of seven pin or set quotas too; each for a brand, a category path or a range of
prices. A quarter asks something of the request that it answers, another quarter something that it does not.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.profile_list import opened
from benchmarks.server import SERVER
from benchmarks.table import Row, percentile, say, show
from benchmarks.world import Bench, arguments, make
from nearline.schema.conditions import Condition
from nearline.schema.declared import Declaration
from nearline.schema.ids import visitor_key
from nearline.schema.query import Query
from nearline.schema.rules import KIND, AtLeast, AtMost, Boost, Bury, Exclude, Pin, Rule
from nearline.serving.recommender import Recommender

COMMAND = "python -m benchmarks.rules"
RULES, ROUNDS = 200, 6


def rules(recommender: Recommender, places: bool, n: int = RULES) -> list[Rule]:
    """Return rules about what the catalogue holds, drawn with a seed."""
    rng = np.random.default_rng(3)
    items = list(recommender.world.catalog.items.values())
    actions: list[Boost | Bury | Exclude | Pin | AtLeast | AtMost] = [
        Boost(1.5),
        Bury(2.0),
        Exclude(),
        Exclude(),
        Pin(3),
        AtLeast(2, 10, "Sponsored"),
        AtMost(3, 20),
    ]
    actions = actions if places else actions[:3]
    found = []
    for place in range(n):
        item, action = items[int(rng.integers(len(items)))], actions[place % len(actions)]
        price = float(item.price or 10.0)
        where = (
            (Condition("brand", "is", item.brand), Condition("category", "under", item.category)),
            (Condition("category", "under", item.category), Condition("price", "at_most", price)),
            (Condition("price", "at_least", price), Condition("price", "at_most", price * 1.02)),
        )[place % 3]
        when = ((), (), (Condition("surface", "is", "homepage"),), (Condition("device", "is", "tv"),))[place % 4]
        found.append(Rule(name=f"rule-{place}", where=where, when=when, action=action))
    return found


def timed(recommender: Recommender, bench: Bench, n: int) -> list[float]:
    """Return processor seconds of `n` lists."""
    out, pipeline = [], recommender.pipeline
    for place in range(n):
        user = bench.users[place % len(bench.users)]
        query = Query(visitor_key(user, ""), recommender.tenant.clock.now(), user_id=user, limits=False)
        began = time.thread_time()
        run = recommender.start(query)
        pipeline.advance(run)
        recommender.finish(run, pipeline)
        out.append(time.thread_time() - began)
    return out


def run(folder: Path, n: int = 300) -> list[Row]:
    """Measure, in turns, since the machine's pace changes by the second."""
    bench = make(folder)
    os.sched_setaffinity(0, {SERVER})
    recommender = opened(bench.tenant())
    return [measure(recommender, bench, n, places) for places in (False, True)]


def measure(recommender: Recommender, bench: Bench, n: int, places: bool) -> Row:
    """Return what one kind of rules costs."""
    declared = recommender.world.declared
    bodies = {
        rule.name: msgspec.json.encode(msgspec.structs.replace(rule, name="")).decode() for rule in rules(recommender, places)
    }
    plain: list[float] = []
    ruled: list[float] = []
    for _ in range(ROUNDS):
        for name in bodies:
            declared.put(Declaration(KIND, name, ""))
        timed(recommender, bench, 50)
        plain += timed(recommender, bench, n)
        for name, body in bodies.items():
            declared.put(Declaration(KIND, name, body))
        timed(recommender, bench, 50)
        ruled += timed(recommender, bench, n)
    cost = [(percentile(ruled, share) - percentile(plain, share)) * 1e6 for share in (0.1, 0.5)]
    hits = sum(1 for rule in recommender.world.rules.rules)
    say(f"{hits} rules; a list without {percentile(plain, 0.5) * 1e6:,.0f} µs, with {percentile(ruled, 0.5) * 1e6:,.0f} µs")
    what = f"{RULES} rules ({'three of seven pin or set quotas' if places else 'boost, bury, exclude'}), cost per list"
    return Row(f"{what}: median (p10)", f"{cost[1]:,.0f} µs ({cost[0]:,.0f})", "< 100 µs", "", COMMAND)


def main() -> None:
    """Run it alone."""
    parser = arguments(__doc__)
    parser.add_argument("--lists", type=int, default=300, help="lists of each turn")
    options = parser.parse_args()
    show(run(options.folder, options.lists))


if __name__ == "__main__":
    main()
