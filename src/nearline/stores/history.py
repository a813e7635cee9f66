"""The truth in order: the lake first, then the log, without a seam."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pyarrow as pa

from nearline.schema.errors import NearlineError
from nearline.schema.event import Events, Record, Topic
from nearline.schema.kinds import Kinds
from nearline.stores.encode import (
    EVENT_COLUMNS,
    RECORD_COLUMNS,
    events_from_records,
    events_from_table,
    records_from_table,
)
from nearline.stores.lake import Lake
from nearline.stores.log import Log

PAGE = 20_000


def history(log: Log, lake: Lake, topic: Topic, start: int = 0, *, kinds: Kinds) -> Iterator[Events]:
    """Yield everything from offset `start` on as numbers, `[n] EVENT`, in order.

    Raises:
        NearlineError: offsets are missing from `start` on (0 means: from the first one kept).
    """
    for piece in pieces(log, lake, topic, start, EVENT_COLUMNS):
        if isinstance(piece, tuple):
            yield events_from_records(piece[1], piece[0], kinds)
        else:
            yield events_from_table(piece, kinds)


def iter_records(log: Log, lake: Lake, topic: Topic, start: int = 0) -> Iterator[tuple[int, list[Record]]]:
    """Yield everything from offset `start` on as (offset of the first, consecutive records), in order.

    Where a user's rows were erased from the lake, the next pair starts behind them.

    Raises:
        NearlineError: offsets are missing from `start` on (0 means: from the first one kept).
    """
    for piece in pieces(log, lake, topic, start, ("offset", *RECORD_COLUMNS)):
        if isinstance(piece, tuple):
            yield piece
            continue
        offsets, records = piece["offset"].to_numpy(), records_from_table(piece)
        cuts = [0, *(np.flatnonzero(np.diff(offsets) != 1) + 1).tolist(), len(records)]
        for a, b in pairwise(cuts):
            yield int(offsets[a]), records[a:b]


def every_record(log: Log, lake: Lake, topic: Topic) -> Iterator[Record]:
    """Yield the records of all partitions, one partition after the other."""
    for number in range(log.partitions):
        for _, records in iter_records(log.partition(number), lake.partition(number), topic):
            yield from records


def pieces(
    log: Log, lake: Lake, topic: Topic, start: int, columns: tuple[str, ...]
) -> Iterator[pa.Table | tuple[int, list[Record]]]:
    """Yield tables from the lake, then pages of the log; back to the lake if the log was trimmed since.

    Raises:
        NearlineError: offsets are missing from `start` on (0 means: from the first one kept).
    """
    position, anywhere, holed = start, start == 0, False
    while True:
        # What the log holds is not fetched over a network: a server restarts while its lake is out of reach.
        near = lake.objects.remote and not holed and log.start(topic) <= position
        end = 0 if near else lake.end(topic)
        if end > position:
            _whole(lake, topic, position, end, anywhere)
            yield from lake.scan(topic, position, end, columns)
            position, anywhere = end, False
        first, records = log.read(topic, position, PAGE)
        if first > position and not anywhere:
            if lake.end(topic) > position:
                holed = True
                continue
            raise _gap(topic, position, first)
        if not records:
            return
        yield first, records
        holed = False
        position, anywhere = first + len(records), False


def _whole(lake: Lake, topic: Topic, start: int, end: int, anywhere: bool) -> None:
    """Check by name that the lake's files hold `start`..`end` without a hole."""
    position = start
    for file in lake.files(topic):
        if file.last < position or file.first >= end:
            continue
        if file.first > position and not anywhere:
            raise _gap(topic, position, file.first)
        position, anywhere = file.last + 1, False


def _gap(topic: Topic, missing: int, found: int) -> NearlineError:
    remedy = f"records up to {found} are gone; restore their lake files, or start at {found}"
    return NearlineError(f"{topic} offset", missing, remedy)
