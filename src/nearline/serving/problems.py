"""Errors as clients see them: `application/problem+json` (RFC 9457), never a traceback."""

from __future__ import annotations

import math
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from nearline.schema.errors import NearlineError, StoreUnavailableError
from nearline.serving.bodies import MalformedError, Rejection, shown


class ProblemBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong, with what to do about it.

    `field`, `value` and `remedy` name a mistake in the request; `rejected` lists the elements of a batch
    of which none was taken.
    """

    title: str
    status: int
    detail: str
    request_id: str
    type: str = "about:blank"
    field: str | None = None
    value: Any = None
    remedy: str | None = None
    rejected: Sequence[Rejection] = ()


class ProblemError(Exception):
    """An answer other than success.

    Args:
        status: of the answer.
        detail: a sentence.
        headers: beyond the usual ones.
        retry_after: seconds after which to try again.
        cause: the mistake in the request, where there is one.
        rejected: elements of a batch, where all were bad.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: Sequence[tuple[bytes, bytes]] = (),
        retry_after: float | None = None,
        cause: NearlineError | None = None,
        rejected: Sequence[Rejection] = (),
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.cause, self.rejected = status, detail, cause, rejected
        self.headers = list(headers)
        if retry_after is not None:
            self.headers.append((b"retry-after", b"%d" % max(1, math.ceil(retry_after))))

    def body(self, request_id: str) -> bytes:
        """Return the answer's body."""
        cause = self.cause
        return msgspec.json.encode(
            ProblemBody(
                title=HTTPStatus(self.status).phrase,
                status=self.status,
                detail=self.detail,
                request_id=request_id,
                field=cause.field if cause else None,
                value=shown(cause.value) if cause else None,
                remedy=cause.remedy if cause else None,
                rejected=self.rejected,
            )
        )


def problem_of(error: Exception) -> ProblemError | None:
    """Return an exception as an answer; `None` for one that nobody foresaw (500)."""
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, NearlineError):
        status = 400 if isinstance(error, MalformedError) else 422
        return ProblemError(status, f"{error.field}: {error.remedy}", cause=error)
    if isinstance(error, StoreUnavailableError):
        return ProblemError(503, error.reason, retry_after=error.retry_after)
    return None


UNFORESEEN = ProblemError(500, "the server made a mistake; its log has more under this request_id")


def not_found(what: str, field: str, value: str) -> ProblemError:
    """Return a 404 that names what was looked for."""
    return ProblemError(404, f"there is no {what} {shown(value)!r}", cause=NearlineError(field, value, "check the id"))
