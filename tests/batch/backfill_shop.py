"""A shop whose log is divided and shared, without a broker; its past has duplicates, erasures, late clocks, a busy visitor."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.parquet as pq

from nearline.app.load import load_app
from nearline.app.sections import Settings, Storage
from nearline.app.tenant import Tenant
from nearline.schema.clock import DAY, HOUR, MINUTE
from nearline.schema.event import ERASE, Record, Topic
from nearline.stores.log import Ends, Log, Position, Tail, routed
from nearline.stores.user_rows import UserRow
from nearline.stream.local import LocalStream

START = 1_790_000_000_000
PARTITIONS = 3
APP = """
from nearline import App
app = App(name="backfill", events=["seen", "view", "click", "purchase", "dislike"])
"""


@dataclass
class DividedLog:
    """Records by topic and partition, in memory."""

    topics: dict[Position, list[Record]] = field(default_factory=dict)
    shared: bool = True
    partitions: int = PARTITIONS
    number: int = 0

    def partition(self, number: int) -> Log:
        return DividedLog(self.topics, self.shared, self.partitions, number)

    def append(self, batches: Mapping[Topic, Sequence[Record]]) -> dict[Topic, Ends]:
        out: dict[Topic, Ends] = {}
        for topic, number, records in routed(batches, self.partitions):
            own = self.topics.setdefault((topic, number), [])
            own += records
            out.setdefault(topic, {})[number] = len(own)
        return out

    def read(self, topic: Topic, start: int, limit: int) -> tuple[int, list[Record]]:
        return start, self.topics.get((topic, self.number), [])[start : start + limit]

    def start(self, topic: Topic) -> int:
        return 0

    def end(self, topic: Topic) -> int:
        return len(self.topics.get((topic, self.number), []))

    def offset_at(self, topic: Topic, ms: int) -> int:
        own = self.topics.get((topic, self.number), [])
        return next((place for place, record in enumerate(own) if record.ingested_at >= ms), len(own))

    def tail(self, at: Mapping[Position, int]) -> Tail:
        raise NotImplementedError

    def commit(self, consumer: str, topic: Topic, offset: int) -> None:
        raise NotImplementedError

    def committed(self, consumer: str, topic: Topic) -> int:
        raise NotImplementedError

    def trim(self, topic: Topic, before: int) -> int:
        raise NotImplementedError

    def close(self) -> None: ...


@dataclass(frozen=True)
class Shop(Tenant):
    """A tenant on such a log, or on its own in a file."""

    divided: DividedLog | None = None

    def log(self, read_only: bool = False, importing: bool = False) -> Log:
        return self.divided or super().log(read_only, importing)

    @property
    def file(self) -> Path:
        return Path(self.settings.storage.path).parent / "app.py"


def shop(folder: Path, records: Sequence[Record], shared: bool = True) -> Shop:
    """Return a shop that has taken these events."""
    folder.mkdir(exist_ok=True)
    (folder / "app.py").write_text(APP)
    storage = Storage(path=str(folder / "data"), partitions=PARTITIONS if shared else 1)
    made = Shop(load_app(folder / "app.py"), Settings(storage=storage), divided=DividedLog() if shared else None)
    log = made.log()
    for begin in range(0, len(records), 400):
        log.append({"user_events": records[begin : begin + 400]})
    log.close()
    return made


def past(n: int = 6000, visitors: int = 150, twice: bool = True) -> list[Record]:
    """Return events of five weeks in the order in which they came."""
    rng, out = random.Random(7), []
    step = 35 * DAY // n
    again: list[tuple[int, Record]] = []
    for place in range(n):
        now = START + place * step
        while again and again[0][0] <= now:
            out.append(msgspec.structs.replace(again[0][1], ingested_at=again[0][0]))
            again.pop(0)
        user = "busy" if rng.random() < 0.3 else f"u{rng.randrange(visitors)}"
        session = f"s-{rng.randrange(40)}" if rng.random() < 0.1 else f"s-{user}"
        if session != f"s-{user}":
            user = ""
        if user != "busy" and user and rng.random() < 0.004:
            out.append(Record("", ERASE, user, "", now, now))
            continue
        at, came = now - rng.randrange(3 * HOUR), now + rng.randrange(2 * MINUTE)  # servers' clocks differ a little
        kind = rng.choice(["seen", "view", "view", "click", "click", "purchase", "dislike", "unknown"])
        event = Record(
            f"e{place}", kind, user, f"i{rng.randrange(60)}", at, came, session, category=f"c{rng.randrange(5)}", price=2.0
        )
        out.append(event)
        if twice and rng.random() < 0.1:
            # Within the hours for which an id counts once, around their end, and beyond; sometimes under another name.
            later = now + rng.choice([0, HOUR, 20 * HOUR, 25 * HOUR, 31 * HOUR, 60 * HOUR])
            name = rng.choice([user, user, f"u{rng.randrange(visitors)}"])
            again.append((later, msgspec.structs.replace(event, user_id=name)))
            again.sort(key=lambda one: one[0])
    return out


def online(tenant: Shop) -> dict[int, UserRow]:
    """Return visitors' rows as a server has them that starts now."""
    log = tenant.log()
    stream = LocalStream(tenant)
    stream.restore(log)
    log.close()
    state = stream.world.state
    hot, history = state.pull(np.arange(len(state.users), dtype=np.int32))
    return {
        key: UserRow(key, hot[slot].tobytes(), history[slot].tobytes())
        for slot, key in enumerate(state.users.keys.tolist())
        if state.presence["last"][slot]
    }


def written(out: Path) -> dict[int, UserRow]:
    """Return the rows of an output."""
    rows: dict[int, UserRow] = {}
    for path in sorted(out.glob("bucket-*.parquet")):
        table = pq.read_table(path, columns=["visitor", "packed_hot", "packed_history"])
        keys = table["visitor"].to_pylist()
        assert keys == sorted(keys)
        assert not rows.keys() & set(keys)
        columns = (table["packed_hot"].to_pylist(), table["packed_history"].to_pylist())
        rows |= {key: UserRow(key, hot, history) for key, hot, history in zip(keys, *columns, strict=True)}
    return rows


def came_before(records: Sequence[Record], ms: int) -> list[Record]:
    """Return each partition's records before its first one that came at a time or later."""
    out = []
    for _, _, own in routed({"user_events": records}, PARTITIONS):
        cut = next((place for place, record in enumerate(own) if record.ingested_at >= ms), len(own))
        out += own[:cut]
    return out
