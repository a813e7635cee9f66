"""Sessions: what anonymous visitors did, kept until they log in and then carried to the user.

Carried events go to the log under the user's name, after the anonymous ones: so whoever replays the log, in stream order
or years later, makes the same state. Only the user's own rows take them (`EVENT.own`); items have counted them before.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence

import msgspec

from nearline.schema.clock import DAY
from nearline.schema.event import CARRIED, Record
from nearline.stores.log import Log

PER_SESSION = 50
SESSIONS = 20_000
REBUILT = 20_000
"""Newest events of the log that a start looks at."""


class Sessions:
    """The last events of each anonymous session.

    Args:
        keep: ms after which an anonymous event is not carried any more.
    """

    def __init__(self, keep: int = DAY) -> None:
        self._keep = keep
        self._held: OrderedDict[str, deque[Record]] = OrderedDict()

    def __contains__(self, session_id: str) -> bool:
        """Return whether a session waits for its visitor's name."""
        return session_id in self._held

    def follow(self, records: Iterable[Record]) -> None:
        """Note what the log already holds: anonymous events wait, and a login ends their wait."""
        for record in records:
            if record.session_id:
                if record.user_id:
                    self._held.pop(record.session_id, None)
                elif not record.event_type.startswith("$"):
                    self._note(record)

    def restore(self, log: Log) -> None:
        """Note the newest events of a log, so that who logs in after a restart loses nothing."""
        for number in range(log.partitions):
            part = log.partition(number)
            position = max(0, part.end("user_events") - REBUILT)
            while True:
                first, records = part.read("user_events", position, REBUILT)
                if not records:
                    break
                self.follow(records)
                position = first + len(records)

    def merged(self, records: Sequence[Record], now: int) -> Sequence[Record]:
        """Return records with what their users did before login put in front of the first that names both."""
        out: list[Record] | None = None
        for place, record in enumerate(records):
            if record.session_id and not record.user_id:
                self._note(record)
            elif record.session_id in self._held:
                out = list(records[:place]) if out is None else out
                out += self.carried(record.user_id, record.session_id, now)
            if out is not None:
                out.append(record)
        return records if out is None else out

    def carried(self, user_id: str, session_id: str, now: int) -> list[Record]:
        """Return a session's events as the user's, at `now` (ms UTC), and forget the session.

        Their ids follow from the first ones, so that a repeated login carries nothing twice.
        """
        held = self._held.pop(session_id, ())
        return [
            msgspec.structs.replace(
                record,
                event_id=f"{CARRIED}{record.event_id}" if record.event_id else "",
                event_type=CARRIED + record.event_type,
                user_id=user_id,
                ingested_at=now,
                request_id="",
            )
            for record in held
            if record.timestamp >= now - self._keep
        ]

    def put_back(self, records: Iterable[Record]) -> None:
        """Let what could not be carried wait again."""
        for record in records:
            if record.event_type.startswith(CARRIED):
                own = {name: getattr(record, name).removeprefix(CARRIED) for name in ("event_id", "event_type")}
                self._note(msgspec.structs.replace(record, user_id="", **own))

    def _note(self, record: Record) -> None:
        held = self._held.get(record.session_id)
        if held is None:
            held = self._held[record.session_id] = deque(maxlen=PER_SESSION)
            if len(self._held) > SESSIONS:
                self._held.popitem(last=False)
        held.append(record)
