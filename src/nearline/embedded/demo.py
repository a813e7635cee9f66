"""What `nearline demo` runs on: a simulated shop or somebody's data, as a dataset with an application for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from nearline.app.event_types import WELL_KNOWN
from nearline.batch.dataset import Dataset, ImportReport, stamp
from nearline.schema.clock import DAY
from nearline.schema.errors import NearlineError
from nearline.schema.item import Item
from nearline.sim.events import SimEvent
from nearline.sim.world import ShopWorld

FILE = "demo.json"
SHOP = "simulated shop"
ALWAYS = ("seen", "view", "click", "dislike")
"""Event types that an application for somebody's data has in any case, so that there is something to try."""

SHOP_APP = '''\
"""The simulated shop of `nearline demo`. Change it and start again: `nearline serve --app {folder}`."""

from nearline import App, EventType, Suppression

app = App(
    name="shop",
    events=[
        "seen",
        "view",
        "click",
        "add_to_cart",
        EventType(
            "purchase",
            weight=8,
            role="conversion",
            outcome=True,
            suppresses=(Suppression("item", days=30),),  # no washing machine after a washing machine
        ),
        "search",
        "dislike",
        "return",
        EventType("rate", weight=1, role="none"),
    ],
    weights={{"click": 1.0, "purchase": 8.0}},
)
'''

SETTINGS = """\
# Settings of the demo: those that differ from the defaults. `nearline init` writes a file with all of them.
[server]
port = {port}

[storage]
path = "state"

[train]
# A tenth of the default: the first release is there within a minute, and not quite as good.
examples = 2000
"""


class Demo(msgspec.Struct):
    """What a folder of the demo holds, kept in `demo.json`.

    Attributes:
        data: the folder that was imported, or `SHOP`.
        size: users, items, days and seed of the shop; zeros for somebody's data.
        users: ids of users to show, each with a few recent events.
        runs: how often it was started.
    """

    data: str
    size: tuple[int, int, int, int] = (0, 0, 0, 0)
    users: list[str] = []
    runs: int = 0


def load_demo(folder: Path) -> Demo | None:
    """Return what was prepared in a folder, `None` where nothing was or where it was broken off."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Demo)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise NearlineError(str(folder / FILE), str(error), "delete the demo's folder and start again") from error


def save_demo(folder: Path, demo: Demo) -> None:
    """Keep what was prepared."""
    (folder / FILE).write_bytes(msgspec.json.encode(demo))


def shop_dataset(world: ShopWorld, days: int, progress: Callable[[int], None] = lambda day: None) -> Dataset:
    """Return a shop's past of `days` days as a dataset.

    Args:
        world: the shop.
        days: of traffic before the world's end.
        progress: told how many days are done.
    """
    events: list[SimEvent] = []
    for done, day in enumerate(world.history(days), 1):
        events += day
        progress(done)
    items = tuple(
        Item(i.item_id, i.title, i.category, i.brand, i.price, i.tags, i.created_at, i.image_url, attributes={**i.attributes})
        for i in world.items_at(world.end_ms)
    )
    table = stamp(event_table(events), items)
    kinds = Counter(event.event_type for event in events)
    common = min(kinds, key=lambda kind: (-kinds[kind], kind))
    return Dataset(SHOP, items, table, False, common, ImportReport(len(events), len(events)))


def event_table(events: Iterable[SimEvent]) -> pa.Table:
    """Return events in the client's form as rows of the lake, in their order."""
    rows = [
        (
            e.user_id, e.item_id, e.event_type, e.timestamp, e.event_id, e.context.session_id, e.context.device,
            e.context.page, e.context.position, e.event_value.rating, e.event_value.price, e.event_value.dwell_ms,
            msgspec.json.encode({"query": e.event_value.query}).decode() if e.event_value.query else "{}",
        )
        for e in events
    ]  # fmt: skip
    return pa.Table.from_arrays(
        [pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), COLUMNS.values(), strict=True)],
        list(COLUMNS),
    )


COLUMNS = {
    "user_id": pa.string(),
    "item_id": pa.string(),
    "event_type": pa.string(),
    "timestamp": pa.int64(),
    "event_id": pa.string(),
    "session_id": pa.string(),
    "device": pa.string(),
    "page": pa.string(),
    "position": pa.int64(),
    "rating": pa.float64(),
    "price": pa.float64(),
    "dwell_ms": pa.int64(),
    "context": pa.string(),
}


def app_for(dataset: Dataset, folder: Path) -> str:
    """Return the text of an application for somebody's data: its event types, and those to try the demo with."""
    types = sorted(set(dataset.events["event_type"].unique().to_pylist()))
    lines = [_event(name, name == dataset.positive) for name in types]
    lines += [f'"{name}",' for name in ALWAYS if name not in types]
    events = "\n".join(f"        {line}" for line in lines)
    name = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in dataset.name) or "data"
    return (
        f'"""An application for {dataset.name}, written by `nearline demo`; yours to change.\n\n'
        f'Start it again with `nearline serve --app {folder}`.\n"""\n\n'
        "from nearline import App, EventType\n\n"
        f'app = App(\n    name="{name}",\n    events=[\n{events}\n    ],\n)\n'
    )


def _event(name: str, positive: bool) -> str:
    """Return one declaration; the commonest type is something to predict, whatever its name is."""
    known = WELL_KNOWN.get(name)
    if not positive or (known is not None and known.outcome):
        return f"{msgspec.json.encode(name).decode()},"
    role = known.role if known is not None else "click"
    weight = max(known.weight, 1.0) if known is not None else 1.0
    return f'EventType({msgspec.json.encode(name).decode()}, weight={weight:g}, role="{role}", outcome=True),'


def users_to_show(events: pa.Table, most: int = 20) -> list[str]:
    """Return users with 5 to 30 events, some of them in the data's last days; the liveliest where there are none."""
    last = events["timestamp"][-1].as_py()
    named = events.filter(pc.not_equal(events["user_id"], ""))
    counted = named.group_by("user_id").aggregate([("timestamp", "count"), ("timestamp", "max")])
    table = counted.sort_by([("timestamp_max", "descending"), ("user_id", "ascending")])
    count, latest = table["timestamp_count"], table["timestamp_max"]
    few = pc.and_(pc.greater_equal(count, 5), pc.less_equal(count, 30))
    for kept in (pc.and_(few, pc.greater(latest, last - 3 * DAY)), few, pc.greater(count, 0)):
        users: list[str] = table.filter(kept)["user_id"].to_pylist()[:most]
        if users:
            return users
    raise NearlineError("user_id", None, "give data with users: every row is anonymous")
