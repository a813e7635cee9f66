"""Records as messages of a broker: one JSON object each, with names, so that any tool can read the topics."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from nearline.schema.event import POISON, Record

logger = logging.getLogger("nearline.messages")


_Time = Annotated[int, Meta(ge=0, le=253_402_300_799_999)]
"""ms UTC, up to the year 9999: a number that no column can hold would stop whoever reads the topic."""
_Count = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]


class _Message(msgspec.Struct, omit_defaults=True, gc=False):
    """The fields of `Record`, by name."""

    event_id: str
    event_type: str
    user_id: str
    item_id: str
    timestamp: _Time
    ingested_at: _Time
    session_id: str = ""
    request_id: str = ""
    page: str = ""
    position: _Count | None = None
    rating: float | None = None
    dwell_ms: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    value: float | None = None
    category: str = ""
    brand: str = ""
    price: float | None = None
    device: str = ""
    context: str = "{}"


assert _Message.__struct_fields__ == Record.__struct_fields__
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Message).decode
_tuple = msgspec.structs.astuple


def encode_message(record: Record) -> bytes:
    """Return a record as JSON; fields with their defaults are left out."""
    return _encode(_Message(*_tuple(record)))


def decode_messages(messages: Sequence[bytes | None], times: Sequence[int]) -> list[Record]:
    """Return messages as records, each as `decode_message` returns it.

    Args:
        messages: JSON, `[n]`.
        times: when they came, ms UTC, `[n]`.
    """
    try:
        return [Record(*_tuple(_decode(message))) for message in messages]  # type: ignore[arg-type]
    except (msgspec.MsgspecError, TypeError):
        return [*map(decode_message, messages, times)]


def decode_message(message: bytes | None, at: int) -> Record:
    """Return a message as a record; one that can't be read becomes a record that moves nothing.

    Args:
        message: JSON.
        at: when it came, ms UTC; for what has no time of its own.
    """
    try:
        return Record(*_tuple(_decode(message or b"")))
    except msgspec.MsgspecError as error:
        logger.warning("a message can't be read and is passed over", extra={"error": str(error), "bytes": len(message or b"")})
        text = (message or b"").decode(errors="replace")
        return Record("", POISON, "", "", at, at, context=msgspec.json.encode({"message": text}).decode())
