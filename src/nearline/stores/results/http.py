"""Results by webhook: one POST of JSON each; an answer of 2xx says that it is delivered."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import unquote, urlsplit

import msgspec

from nearline.schema.errors import NearlineError
from nearline.schema.result import Result
from nearline.stores.subscriber import Failure, SubscriberPlace, named

_encode = msgspec.json.Encoder().encode
REFUSED = {400, 413, 422}
"""What says that this result is wrong, and will be; everything else may be mended by time, or by whoever keeps the receiver."""
MOST = 1 << 16
"""Bytes of an answer that are read; after a longer one the connection is made anew."""


def open_subscriber(place: SubscriberPlace) -> WebhookSubscriber:
    """Open http://host:port/path or https://...; a user and password in it are sent as Basic authorisation."""
    return WebhookSubscriber(place)


class WebhookSubscriber:
    """Posts one result after the other, on a connection that stays open.

    The header `Idempotency-Key` is the result's `request_id`: the same one may come again.
    """

    def __init__(self, place: SubscriberPlace) -> None:
        url = urlsplit(place.url)
        if not url.hostname:
            raise NearlineError("publish.to", named(place.url), 'name the receiver: "https://host/path"')
        self._name = named(place.url)
        self._path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        self._headers = {"Content-Type": "application/json", "User-Agent": "nearline"}
        if url.username is not None:
            who = f"{unquote(url.username)}:{unquote(url.password or '')}".encode()
            self._headers["Authorization"] = f"Basic {base64.b64encode(who).decode()}"
        kind = HTTPSConnection if url.scheme.lower() == "https" else HTTPConnection
        self._connection = kind(url.hostname, url.port, timeout=place.timeout)
        self._used = False

    def deliver(self, results: Sequence[Result]) -> list[Failure]:
        """Post results; where the receiver does not answer, the rest is not tried."""
        failures: list[Failure] = []
        for place, result in enumerate(results):
            try:
                status = self._post(result)
            except (OSError, HTTPException) as error:
                self._connection.close()
                reason = f"{self._name} does not answer: {error or type(error).__name__}"
                return failures + [Failure(rest, reason) for rest in range(place, len(results))]
            if not 200 <= status < 300:
                failures.append(Failure(place, f"{self._name} answered {status}", status in REFUSED))
        return failures

    def _post(self, result: Result) -> int:
        body, headers = _encode(result), {**self._headers, "Idempotency-Key": result.request_id}
        connection = self._connection
        try:
            connection.request("POST", self._path, body, headers)
            answer = connection.getresponse()
        except (ConnectionError, HTTPException):
            # One that stayed open may have been closed by the other side meanwhile.
            connection.close()
            if not self._used:
                raise
            self._used = False
            connection.request("POST", self._path, body, headers)
            answer = connection.getresponse()
        answer.read(MOST)
        self._used = answer.isclosed()
        if not self._used:
            connection.close()
        return answer.status

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()
