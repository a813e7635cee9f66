"""New users who say something of themselves: what it brings, with users who were held out of training altogether.

`python -m benchmarks.cold_people --data ../shared/data/ml-100k`. New users are those who first come in the last fifth of the
data (validation: the fifth before; where times were made from positions, a sixth of the users each, drawn by seed). The others'
demographics are declared before their first event. When a new user comes, seven strangers are asked for ten items each, of
whom one is known in each way:

- nothing;
- demographics: age group and gender;
- two categories, chosen at onboarding: the commonest of the *told* half of his events (every second one, from his first);
- both;
- three films, chosen at onboarding: the most popular ones of the told half;
- one click: his first event; three clicks: his first events of the told half.

Right are the items of the other half, which nothing was told of. Popularity is that of the last days.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa

from benchmarks.cold import HEAD, Shop, Worth, tenant_of
from benchmarks.table import machine
from nearline.batch.dataset import Dataset, for_asking
from nearline.batch.importers import load_dataset
from nearline.embedded.evaluation import event_bodies
from nearline.schema.event import Record
from nearline.serving.profiles import interest_records, profile_of, profile_records

COMMAND = "python -m benchmarks.cold_people"
DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "ml-100k"
LEAST = 10
"""Events that a new user must have."""
AGES = ((18, "under_18"), (25, "18-24"), (35, "25-34"), (45, "35-44"), (55, "45-54"), (65, "55-64"), (999, "65+"))
KNOWN = ("nothing", "demographics", "two categories", "both", "three films", "one click", "three clicks")


def demographics(folder: Path) -> dict[str, dict[str, str]]:
    """Return age group and gender by user, of MovieLens 100K or 1M."""
    old = (folder / "u.user").is_file()
    lines = (folder / ("u.user" if old else "users.dat")).read_text(encoding="latin-1").splitlines()
    rows = [line.split("|" if old else "::") for line in lines]
    both = {row[0]: (int(row[1]), row[2]) if old else (int(row[2]), row[1]) for row in rows}
    return {
        user: {"age_group": next(name for upto, name in AGES if age < upto), "gender": {"F": "female", "M": "male"}[sex]}
        for user, (age, sex) in both.items()
    }


def parted(dataset: Dataset, holdout: str, seed: int) -> tuple[pa.Table, pa.Table, set[str]]:
    """Return what is known, what is streamed in, and who is new."""
    events = dataset.events
    users = np.array(events["user_id"].to_pylist())
    if dataset.order_only:
        drawn = np.random.default_rng(seed).permutation(np.unique(users))
        sixth = len(drawn) // 6
        new = drawn[:sixth] if holdout == "test" else drawn[sixth : 2 * sixth]
        late = np.isin(users, new)
    else:
        n = len(users)
        begin, end = (n * 8 // 10, n) if holdout == "test" else (n * 6 // 10, n * 8 // 10)
        new = np.setdiff1d(users[begin:end], users[:begin])
        late = np.arange(n) >= begin
        events, late = events.slice(0, end), late[:end]
    return events.filter(pa.array(~late)), events.filter(pa.array(late)), set(new.tolist())


def declared(known: pa.Table, profiles: dict[str, dict[str, str]]) -> pa.Table:
    """Return the events with each user's demographics before his first."""
    rows = {name: known[name].to_pylist() for name in ("user_id", "timestamp")}
    first = dict(zip(reversed(rows["user_id"]), reversed(rows["timestamp"]), strict=True))
    said = [(at, user, f"${name}", value) for user, at in first.items() for name, value in profiles[user].items()]
    at, user, kind, value = zip(*said, strict=True)
    table = {"user_id": user, "timestamp": at, "event_type": kind, "category": value, "item_id": [""] * len(said)}
    columns = {
        field.name: pa.array(table[field.name], field.type)
        if field.name in table
        else pa.array(["" if pa.types.is_string(field.type) else None] * len(said), field.type)
        for field in known.schema
    }
    both = pa.concat_tables([pa.table(columns, schema=known.schema), known])
    return both.take(pa.array(np.argsort(both["timestamp"].to_numpy(), kind="stable")))


def strangers(
    shop: Shop, user: str, told: list[tuple[str, bytes]], profile: dict[str, str], popular: Counter[str], now: int
) -> dict[str, tuple[str, set[str]]]:
    """Tell of a user's strangers what each is known by; return their ids and the items that each was told of."""
    items = [item for item, _ in told]
    catalog, encode = shop.engine.catalog, msgspec.json.encode
    common = Counter(catalog.items[item].category for item in items if catalog.items[item].category)
    # Of equally common ones, the one that came first.
    categories = [name for name, _ in common.most_common(2)]
    films = sorted(dict.fromkeys(items), key=lambda item: -popular[item])[:3]
    out: dict[str, tuple[str, set[str]]] = {}
    for place, known in enumerate(KNOWN):
        alias, records = f"{user}~{place}", list[Record]()
        if known in ("demographics", "both"):
            records += profile_records(alias, profile_of(encode(profile), True), now)
        if known in ("two categories", "both") and categories:
            records += interest_records(encode({"categories": categories}), alias, catalog, now)
        if known == "three films":
            records += interest_records(encode({"items": films}), alias, catalog, now)
        if records:
            shop.add(records)
        clicks = {"one click": 1, "three clicks": 3}.get(known, 0)
        for _, body in told[:clicks]:
            shop.send(encode(msgspec.json.decode(body) | {"user_id": alias, "event_id": "", "timestamp": now}))
        out[known] = alias, set(films if known == "three films" else items[:clicks])
    return out


def walk(
    shop: Shop, reveal: pa.Table, new: Iterable[str], profiles: dict[str, dict[str, str]], known: pa.Table
) -> dict[str, Worth]:
    """Stream the events in, and ask for each new user as he comes."""
    worth = {name: Worth() for name in KNOWN}
    popular = Counter[str](known["item_id"].to_pylist())
    least = int(known["timestamp"][-1].as_py()) + 1
    own = defaultdict[str, list[tuple[str, bytes]]](list)
    bodies = event_bodies(reveal)
    rows = list(zip(*(reveal[name].to_pylist() for name in ("user_id", "item_id", "timestamp")), bodies, strict=True))
    for user, item, _, body in rows:
        own[user].append((item, body))
    to_come = {user for user in new if len(own[user]) >= LEAST}
    for user, item, at, body in rows:
        if user in to_come:
            to_come.remove(user)
            now = max(at, least)
            told = own[user][::2]
            targets = {other for other, _ in own[user][1::2]} - {other for other, _ in told}
            aliases = strangers(shop, user, told, profiles[user], popular, now)
            for name, (alias, had) in aliases.items():
                query = shop.query(alias, now + 1)
                items, reach = shop.ask(query)
                worth[name].add(items, shop.popular(query, had), targets, reach)
        popular[item] += 1
        shop.send(body)
    return worth


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--holdout", choices=("test", "validation"), default="test", help="tune on validation only")
    parser.add_argument("--untrained", action="store_true", help="no release yet")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--with", dest="extra", default="", help="a source beside the defaults, module:Class")
    o = parser.parse_args()
    if not o.data.is_dir():
        raise SystemExit(f"there is no {o.data}; say where the data is with --data")
    dataset, profiles = for_asking(load_dataset(o.data)), demographics(o.data)
    known, reveal, new = parted(dataset, o.holdout, o.seed)
    with tenant_of(dataset, declared(known, profiles), not o.untrained, o.extra) as tenant:
        shop = Shop(tenant)
        worth = walk(shop, reveal, new, profiles, known)
        said = shop.coverage()
        shop.close()
    print(f"{machine()}\n\n{dataset.name}, {o.holdout}, {known.num_rows:,} events known, new users held out\n")
    print(f"| known | {HEAD}")
    for name, one in worth.items():
        print(one.line(name))
    print(f"\n{said}")


if __name__ == "__main__":
    main()
