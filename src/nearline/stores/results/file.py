"""Results in a file, one JSON object a line: for trying it out, and for what reads files."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from nearline.schema.errors import NearlineError, StoreUnavailableError
from nearline.schema.result import Result
from nearline.stores.durable import append
from nearline.stores.subscriber import Failure, SubscriberPlace

_encode = msgspec.json.Encoder().encode


def open_subscriber(place: SubscriberPlace) -> FileSubscriber:
    """Open file:name.jsonl, in the tenant's folder, or file:///anywhere/name.jsonl."""
    return FileSubscriber(place)


class FileSubscriber:
    """Appends; what came twice stands there twice, and the last line of a user and surface is not always the newest."""

    def __init__(self, place: SubscriberPlace) -> None:
        name = place.url.partition(":")[2].removeprefix("//")
        if not name:
            raise NearlineError("publish.to", place.url, 'name the file: "file:results.jsonl"')
        self._path = place.folder / name

    def deliver(self, results: Sequence[Result]) -> list[Failure]:
        """Append results; they are on disk on return."""
        text = b"".join(_encode(result) + b"\n" for result in results)
        try:
            append(self._path, text)
        except OSError as error:
            raise StoreUnavailableError(f"{self._path} can't be written: {error.strerror}") from error
        return []

    def close(self) -> None:
        """Nothing is held."""
