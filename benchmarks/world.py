"""The shop that benchmarks ask: 20,000 items, a month of history, a trained release; made once and kept."""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pyarrow as pa

from benchmarks.table import say
from nearline.app.load import load_app
from nearline.app.settings import load_settings
from nearline.app.tenant import Tenant
from nearline.batch.dataset import Dataset, assemble
from nearline.batch.importing import import_dataset
from nearline.batch.training import train
from nearline.schema.item import Item
from nearline.sim.events import SimEvent
from nearline.sim.world import ShopWorld

DATA = Path(tempfile.gettempdir()) / "nearline-benchmarks"
ITEMS, USERS, DAYS = 20_000, 10_000, 30
APP = '''\
"""The shop of the benchmarks."""

from nearline import App

app = App(
    name="shop",
    events=["view", "click", "add_to_cart", "purchase", "dislike", "rate", "return"],
    weights={"click": 1.0, "purchase": 8.0},
)
'''
# Sources repeat each other's items, so the default quotas (1,000 in all) leave fewer after merging; more from
# each fills the 1,000 that the target asks for. Jobs stay off while something is measured.
TOML = """\
[storage]
path = "{path}"

[candidates]
quota = {{ covisit = 300, als = 800, content = 200, trending = 200, history = 100 }}

[state]
snapshot_every_minutes = 1440

[train]
every = ""
"""


@dataclass(frozen=True, slots=True)
class Bench:
    """A folder with app.py, nearline.toml, data, and the ids of users who have a history.

    Attributes:
        folder: where the application is.
        data: where the tenant's data is.
        users: ids of people with a history, in random order.
        items: ids of all items.
    """

    folder: Path
    data: Path
    users: tuple[str, ...]
    items: tuple[str, ...]

    def tenant(self) -> Tenant:
        """Return the tenant, opened in this process."""
        return tenant_in(self.folder)

    def copy(self, to: Path) -> Bench:
        """Return a copy that may be changed."""
        if to.exists():
            shutil.rmtree(to)
        shutil.copytree(self.folder, to)
        write_settings(to, to / "data")
        return Bench(to, to / "data", self.users, self.items)


class _People(msgspec.Struct, frozen=True):
    users: tuple[str, ...]
    items: tuple[str, ...]


def tenant_in(folder: Path) -> Tenant:
    """Return the tenant of a benchmark's folder; the environment is not looked at."""
    return Tenant(load_app(folder / "app.py"), load_settings(folder / "nearline.toml", {}))


def write_settings(folder: Path, data: Path) -> None:
    """Write app.py and nearline.toml."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "app.py").write_text(APP)
    (folder / "nearline.toml").write_text(TOML.format(path=data))


def dataset_of(world: ShopWorld, days: int) -> Dataset:
    """Return the world's past as an import has it; searches, which name no item, are left out."""
    return _assemble(list(world.items), (e for day in world.history(days) for e in day))


def _assemble(items: Iterable[object], events: Iterable[SimEvent]) -> Dataset:
    kept = [event for event in events if event.item_id]
    known = [msgspec.convert(msgspec.to_builtins(item), Item) for item in items]
    table = pa.table(
        {
            "user_id": [e.user_id for e in kept],
            "item_id": [e.item_id for e in kept],
            "event_type": [e.event_type for e in kept],
            "timestamp": pa.array([e.timestamp for e in kept], pa.int64()),
            "rating": pa.array([e.event_value.rating for e in kept], pa.float64()),
            "price": pa.array([e.event_value.price for e in kept], pa.float64()),
            "session_id": [e.context.session_id for e in kept],
            "device": [e.context.device for e in kept],
            "event_id": [e.event_id for e in kept],
        }
    )
    return assemble("shop", table, known, {})


def make(root: Path = DATA, items: int = ITEMS, users: int = USERS, days: int = DAYS) -> Bench:
    """Return the shop, made and trained where it is not there yet."""
    folder = root / f"shop-{items}-{users}-{days}"
    done = folder / "people.json"
    write_settings(folder, folder / "data")
    if not done.exists():
        if (folder / "data").exists():
            shutil.rmtree(folder / "data")
        began = time.monotonic()
        dataset = dataset_of(ShopWorld(items=items, users=users), days)
        say(f"shop: {dataset.events.num_rows:,} events, {len(dataset.items):,} items; importing and training")
        tenant = tenant_in(folder)
        import_dataset(tenant, dataset)
        outcome = train(tenant, say)
        if not outcome.published:
            raise SystemExit("the shop's release was refused; nothing can be measured")
        counts = dataset.events["user_id"].value_counts().to_pylist()
        some = sorted(row["values"] for row in counts if 10 <= row["counts"] < 2_000)
        some.sort(key=hash_of)
        people = _People(tuple(some), tuple(item.item_id for item in dataset.items))
        done.write_bytes(msgspec.json.encode(people))
        say(f"shop: ready after {time.monotonic() - began:.0f} s in {folder}")
    tenant = tenant_in(folder)
    if tenant.releases.manifest(tenant.releases.current()).feature_set != tenant.feature_set:
        say("shop: its release was made for other features; training again")
        if not train(tenant, say).published:
            raise SystemExit(f"the shop's release was refused; remove {folder} and begin again")
    people = msgspec.json.decode(done.read_bytes(), type=_People)
    return Bench(folder, folder / "data", people.users, people.items)


def hash_of(text: str) -> int:
    """Return a number that scatters ids, the same in every run."""
    value = 0
    for byte in text.encode():
        value = (value * 1_000_003 + byte) % 2_147_483_647
    return value * 48_271 % 2_147_483_647


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with what every program takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--folder", type=Path, default=DATA, help="where worlds are kept between runs")
    parser.add_argument("--repeats", type=int, default=3, help="repeats, of which the median counts")
    parser.add_argument("--seconds", type=float, default=5.0, help="seconds of each repeat")
    return parser


def main() -> None:
    """Make the shop."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    parser = arguments(__doc__)
    options = parser.parse_args()
    bench = make(options.folder)
    say(f"{len(bench.users):,} users with a history, {len(bench.items):,} items: {bench.folder}")


if __name__ == "__main__":
    main()
