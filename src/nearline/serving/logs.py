"""Logs: one JSON object a line on stderr, with the request_id of the request that wrote it."""

from __future__ import annotations

import logging
import os
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TextIO

import msgspec

from nearline.schema.errors import NearlineError

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""Of the request being answered; "" outside of one."""

LEVELS = ("debug", "info", "warning", "error")
_OWN = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}


class JsonFormatter(logging.Formatter):
    """Formats a record as JSON: time, level, logger, message, request_id, exception, what `extra` brought."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id := REQUEST_ID.get():
            line["request_id"] = request_id
        line |= {name: value for name, value in record.__dict__.items() if name not in _OWN}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=repr).decode()


def configure_logs(level: str = "", stream: TextIO | None = None) -> None:
    """Send all logs, uvicorn's too, to stderr as JSON.

    The access log is off: `/metrics` has what it would say.

    Args:
        level: debug, info, warning or error; else the environment's NEARLINE_LOG_LEVEL, else info.
        stream: instead of stderr.

    Raises:
        NearlineError: there is no such level.
    """
    name = (level or os.environ.get("NEARLINE_LOG_LEVEL", "") or "info").lower()
    if name not in LEVELS:
        raise NearlineError("NEARLINE_LOG_LEVEL", name, f"use one of {', '.join(LEVELS)}")
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(name.upper())
    for owner in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(owner)
        logger.handlers.clear()
        logger.propagate = owner != "uvicorn.access"
