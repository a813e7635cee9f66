"""Cold start on real data: lists by how much is known of who asks, against recent popularity.

`python -m benchmarks.cold_start --data ../shared/data/movietweetings-100k`. The last tenth of the data is walked through in
order of time, every event revealed as it came (protocol C). Before each event the engine (the code that serves, in this
process) is asked for ten items, and so is what has been popular in the last days, without what the user had; the item that he
took then is the right one. Lists are told apart by how many events of their user are known, and by how many of the right item
are. A release is trained on the first nine tenths; with `--untrained` the sources are blended as before any release.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.cold import HEAD, K, Shop, Worth, tenant_of
from benchmarks.table import machine
from nearline.batch.dataset import for_asking
from nearline.batch.importers import load_dataset
from nearline.batch.metrics import Estimate, estimate
from nearline.batch.protocols import Split, next_event
from nearline.embedded.evaluation import event_bodies
from nearline.sim.chart import Panel, svg

COMMAND = "python -m benchmarks.cold_start"
DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "movietweetings-100k"
FROM = (0, 1, 2, 3, 5, 10, 20)
"""Where the groups of known events begin."""
NAMES = ("0", "1", "2", "3-4", "5-9", "10-19", "20+")


class Group(msgspec.Struct, frozen=True):
    """Lists of which about as much was known."""

    known: str
    lists: int
    ours: Estimate
    popular: Estimate
    difference: Estimate
    reach: dict[str, float]


class Finding(msgspec.Struct, frozen=True):
    """What a walk came to; `by_user` goes by the events known of who asks, `by_item` by those of the right item."""

    data: str
    command: str
    machine: str
    by_user: list[Group]
    by_item: list[Group]
    reach_of_lists: dict[str, float]
    users_reached: float
    coverage: float
    coverage_of_popularity: float


class Walk:
    """The lists of a walk, in groups."""

    def __init__(self) -> None:
        self.by_user = {name: Worth() for name in NAMES}
        self.by_item = {name: Worth() for name in NAMES}
        self.reached: dict[str, bool] = defaultdict(bool)

    def go(self, shop: Shop, split: Split, most: int, seed: int) -> None:
        """Reveal and ask, in order of time; ask about at most so many users, all for 0."""
        had, touches = defaultdict[str, set[str]](set), Counter[str](split.known["item_id"].to_pylist())
        for user, item in zip(split.known["user_id"].to_pylist(), split.known["item_id"].to_pylist(), strict=True):
            had[user].add(item)
        rows = list(zip(*(split.reveal[name].to_pylist() for name in ("user_id", "item_id", "timestamp")), strict=True))
        users = sorted({user for user, _, _ in rows})
        asked = set(np.random.default_rng(seed).permutation(users)[: most or None].tolist())
        for (user, item, now), body in zip(rows, event_bodies(split.reveal), strict=True):
            if user in asked and item not in had[user]:
                query = shop.query(user, now)
                items, reach = shop.ask(query)
                popular = shop.popular(query, had[user])
                self.by_user[_group(len(had[user]))].add(items, popular, {item}, reach)
                self.by_item[_group(touches[item])].add(items, popular, {item}, reach)
                self.reached[user] |= reach != "popular"
            had[user].add(item)
            touches[item] += 1
            shop.send(body)


def _group(known: int) -> str:
    return NAMES[int(np.searchsorted(FROM, known, side="right")) - 1]


def _groups(worth: dict[str, Worth]) -> list[Group]:
    out = []
    for name, one in worth.items():
        if one.ours:
            pairs = [a - b for a, b in zip(one.ours, one.popular, strict=True)]
            out.append(Group(name, len(pairs), estimate(one.ours), estimate(one.popular), estimate(pairs), _shares(one.reach)))
    return out


def _shares(reach: Sequence[str]) -> dict[str, float]:
    return {name: round(count / len(reach), 4) for name, count in Counter(reach).most_common()}


def picture(found: Finding) -> str:
    """Return quality by number of known events, of who asks and of the right item."""
    panels = []
    for title, groups in (("by events of the user", found.by_user), ("by events of the right item", found.by_item)):
        known = {group.known: group for group in groups}
        nothing = float("nan"), float("nan")
        lines = {
            name: [(e.mean, e.error) if (g := known.get(n)) and (e := getattr(g, field)) else nothing for n in NAMES]
            for name, field in (("engine", "ours"), ("recent popularity", "popular"))
        }
        panels.append(Panel(f"NDCG@{K} {title}", lines))
    return svg(f"Quality by number of known events, {found.data}", panels, "events known", 2, NAMES)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--holdout", choices=("test", "validation"), default="test", help="tune on validation only")
    parser.add_argument("--untrained", action="store_true", help="no release yet")
    parser.add_argument("--users", type=int, default=0, help="users asked about, drawn by seed; 0 for all")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--with", dest="extra", default="", help="a source beside the defaults, module:Class")
    parser.add_argument("--out", type=Path, help="folder for cold_start.json and cold_start.svg")
    o = parser.parse_args()
    if not o.data.is_dir():
        raise SystemExit(f"there is no {o.data}; say where the data is with --data")
    dataset = for_asking(load_dataset(o.data))
    split, walk = next_event(dataset, o.holdout), Walk()
    with tenant_of(dataset, split.known, not o.untrained, o.extra) as tenant:
        shop = Shop(tenant)
        walk.go(shop, split, o.users, o.seed)
        coverage = [len(shown) / shop.size for shown in (shop.shown, shop.popular_shown)]
        said = shop.coverage()
        shop.close()
    reach = [one for worth in walk.by_user.values() for one in worth.reach]
    users = sum(walk.reached.values()) / len(walk.reached)
    command = f"{COMMAND} --holdout {o.holdout}" + (" --untrained" if o.untrained else "")
    found = Finding(
        dataset.name, command, machine(), _groups(walk.by_user), _groups(walk.by_item), _shares(reach), users, *coverage
    )
    print(f"{found.machine}\n\n{found.data}, {split.name}, {'no release yet' if o.untrained else 'a trained release'}")
    for title, worths in (("events of the user", walk.by_user), ("events of the item", walk.by_item)):
        print(f"\n| {title} | {HEAD}")
        for name, one in worths.items():
            if one.ours:
                print(one.line(name))
    print(
        f"\nlists by reach: {found.reach_of_lists}; users with a list that is personal or their segment's: {users:.1%}; {said}"
    )
    if o.out:
        (o.out / "cold_start.json").write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1))
        (o.out / "cold_start.svg").write_text(picture(found), encoding="utf-8")


if __name__ == "__main__":
    main()
