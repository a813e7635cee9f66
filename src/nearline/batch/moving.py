"""Moving a tenant to another log: items and events are appended to it in their order, clock and releases go along."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from nearline.app.tenant import Tenant
from nearline.schema.errors import NearlineError
from nearline.schema.event import TOPICS, Record, Topic
from nearline.stores.history import iter_records
from nearline.stores.log import Log

CHUNK = 5_000
MOVED: tuple[Topic, ...] = ("item_events", "user_events")
"""Not the lists shown: what they say of offsets would mean other events in another log."""


def move(old: Tenant, new: Tenant, progress: Callable[[Topic, int], None] = lambda topic, done: None) -> dict[Topic, int]:
    """Append what lake and log hold to a log that is empty; return how many records, by topic.

    Args:
        old: whose server is stopped, so that nothing comes to its log any more.
        new: with the same application; its folder must be another one.
        progress: told what is done.

    Raises:
        NearlineError: the new log, lake or folder holds something already.
    """
    if old.folder.resolve() == new.folder.resolve():
        raise NearlineError("storage.path", str(new.folder), "name another folder: lake and snapshots mean the log they are of")
    source, target = old.log(read_only=True), new.log()
    try:
        for topic in TOPICS:
            if any(target.partition(n).end(topic) or new.lake.partition(n).end(topic) for n in _partitions(target, topic)):
                raise NearlineError(
                    "storage.log", new.settings.storage.log, f"{topic} must be empty; name another prefix or log"
                )
        done: dict[Topic, int] = dict.fromkeys(MOVED, 0)
        for topic in MOVED:
            for number in _partitions(source, topic):
                for first, records in iter_records(source.partition(number), old.lake.partition(number), topic):
                    for begin in range(0, len(records), CHUNK):
                        some = records[begin : begin + CHUNK]
                        target.append({topic: _identified(some, topic, number, first + begin)})
                        done[topic] += len(some)
                        progress(topic, done[topic])
        new.write_meta(old.meta)
        new.releases.refresh()
        if (current := old.releases.current()) and not new.releases.current():
            shutil.copytree(old.folder / "releases", new.folder / "releases", dirs_exist_ok=True)
            new.releases.use(current)
        return done
    finally:
        source.close()
        target.close()


def _partitions(log: Log, topic: Topic) -> range:
    return range(1 if topic == "item_events" else log.partitions)


def _identified(records: list[Record], topic: Topic, number: int, first: int) -> list[Record]:
    """Give each event an id, so that one that is appended twice counts once."""
    if topic == "user_events":
        for place, record in enumerate(records, first):
            record.event_id = record.event_id or f"moved-{number}-{place}"
    return records
