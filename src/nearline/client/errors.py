"""What a request can end in."""

from __future__ import annotations


class NearlineClientError(Exception):
    """A request that brought no answer to use."""


class UnavailableError(NearlineClientError):
    """The server could not be reached, or was busy until the client gave up; the same request may succeed later."""


class ApiError(NearlineClientError):
    """The server refused the request.

    Attributes:
        status: of the answer.
        detail: what the server said.
        request_id: by which the server's log knows the request.
        body: the whole answer.
    """

    def __init__(self, status: int, detail: str, request_id: str, body: bytes) -> None:
        self.status, self.detail, self.request_id, self.body = status, detail, request_id, body
        super().__init__(f"{status}: {detail}" + (f" (request {request_id})" if request_id else ""))
