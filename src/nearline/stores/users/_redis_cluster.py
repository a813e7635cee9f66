"""User rows in a cluster of Redis or Valkey, whose masters go one by one: to replicas that may lack the last writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from redis.exceptions import ConnectionError as ConnectionLostError
from redis.exceptions import MovedError

from nearline.stores.user_rows import RowsPlace, UserRow
from nearline.stores.users._masters import ask_masters
from nearline.stores.users._redis import FAILED, RedisBase

TAGS = (
    "3560", "22069", "48576", "11467", "4129", "130", "1296", "41342",
    "8209", "3706", "2821", "48710", "356", "45971", "16248", "4782",
)  # fmt: skip
"""Each names a slot: 0, 1024, 2048 and so on. A master that has 1,024 slots in a row has one of them."""
SPACE = 1024


class ClusterRows(RedisBase):
    """A `UserRows` in a cluster.

    How far the stream is stands in each of sixteen places, `<tenant>:progress:{<tag>}:<partition>`, so that each master has it
    beside its rows: a replica that takes over for it without its last writes has an older one too. What counts for one visitor
    is that of his master; for all, the least.

    Rows are read from masters: a replica may lag behind, and a list made from it might lack what an earlier one had seen.
    """

    def __init__(self, place: RowsPlace) -> None:
        super().__init__(place)
        self._seen: dict[str, int] = {}

    def read(self, visitors: Sequence[int], partitions: Sequence[int] = ()) -> tuple[list[UserRow], list[int]]:
        """Return the rows of visitors, and the progress of partitions: for one visitor, where his master is."""
        try:
            try:
                return self._read(visitors, partitions)
            except (ConnectionLostError, MovedError):
                # A connection that was closed meanwhile, or a master that was replaced: by now it is known who is.
                return self._read(visitors, partitions)
        except FAILED as error:
            raise self._away(error) from error

    def _read(self, visitors: Sequence[int], partitions: Sequence[int]) -> tuple[list[UserRow], list[int]]:
        everywhere = len(visitors) != 1
        tags = TAGS if everywhere else (self._beside(visitors[0]),)
        names = [self._progress(tag, number) for number in partitions for tag in tags]
        # Progress first: it must not say more than the rows.
        values = self._ask([("GET", name) for name in names] + [("MGET", *self.names(visitor)) for visitor in visitors])
        marks, found = [int(value or 0) for value in values[: len(names)]], values[len(names) :]
        if everywhere:
            self._seen |= zip(names, marks, strict=True)
        rows = [UserRow(visitor, hot or b"", history or b"") for visitor, (hot, history) in zip(visitors, found, strict=True)]
        return rows, [min(marks[at : at + len(tags)]) for at in range(0, len(marks), len(tags))]

    def write(self, rows: Sequence[UserRow], progress: Mapping[int, int]) -> None:
        """Write rows, then progress on each master behind its rows; where one fails all of it is to be written again."""
        moves = [(self._progress(tag, number), end, number) for number, end in progress.items() for tag in TAGS]
        calls = [self._writing([row]) for row in rows]
        calls += [self._writing([], [(name, end, self._seen.get(name, 0))]) for name, end, _ in moves]
        try:
            answers = self._ask(calls)
        except FAILED as error:
            raise self._away(error) from error
        if lost := {move[2] for move, kept in zip(moves, answers[len(rows) :], strict=True) if kept != 1}:
            raise self._lost([*lost])
        self._seen |= {name: end for name, end, _ in moves}

    def _ask(self, calls: Sequence[Sequence[Any]]) -> list[Any]:
        answers = ask_masters(self._redis(), calls)
        if wrong := next((answer for answer in answers if isinstance(answer, Exception)), None):
            raise wrong
        return answers

    def _beside(self, visitor: int) -> str:
        """Return the tag of a place on the master that has a visitor's rows."""
        slot = self._redis().keyslot(self.names(visitor)[0])
        before = slot // SPACE
        return TAGS[before if self._master(before * SPACE) == self._master(slot) else (before + 1) % len(TAGS)]

    def _master(self, slot: int) -> str:
        return str(self._redis().nodes_manager.get_node_from_slot(slot).name)

    def _progress(self, tag: str, partition: int) -> str:
        return f"{self._place.tenant}:progress:{{{tag}}}:{partition}"
