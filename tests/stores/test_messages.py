"""Messages of a broker: what was written is read, and what others wrote among it moves nothing."""

from __future__ import annotations

import numpy as np
import pytest

from nearline.app.definition import App
from nearline.schema.event import POISON, Record
from nearline.stores.encode import belonging, events_from_records
from nearline.stores.messages import decode_message, encode_message

GOOD = [
    Record("e1", "click", "u1", "i1", 5, 6),
    Record("", "view", "ü\n", "i2", 7, 8, "s", position=3, price=2.5, context='{"a":"b\\nc"}'),
]
ONE = encode_message(GOOD[0])
STRANGE = [
    None, b"", b" ", b"null", b"[1]", b"\xff\xfe", b'{"event_id": 5}', b"{}", ONE * 2, ONE[:-1],
    ONE.replace(b'"timestamp":5', b'"timestamp":%d' % 10**30),
    ONE.replace(b'"timestamp":5', b'"timestamp":-1'),
    ONE.replace(b'"timestamp":5', b'"position":%d,"timestamp":5' % 2**70),
]  # fmt: skip


def test_what_was_written_is_read() -> None:
    assert [decode_message(encode_message(record), 0) for record in GOOD] == GOOD


@pytest.mark.parametrize("message", STRANGE)
def test_what_nobody_can_read_belongs_to_no_partition(message: bytes | None) -> None:
    record = decode_message(message, 100)
    assert (record.event_type, record.timestamp, record.user_id) == (POISON, 100, "")
    events = events_from_records([record], 7, App(events=["click"]).kinds())
    assert not np.any([belonging(events, number, 4) for number in range(4)])
