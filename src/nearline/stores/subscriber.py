"""The port of subscribers, to whom results are delivered; the scheme of a URL names the adapter in `stores/results`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from msgspec import Struct

from nearline.schema.errors import NearlineError
from nearline.schema.result import Result
from nearline.stores import results
from nearline.stores.adapters import adapter, scheme_of, shown


class Failure(Struct, frozen=True):
    """A result that was not delivered.

    Attributes:
        place: among those that were to be delivered.
        reason: what the subscriber said.
        final: whether another try would end the same way.
    """

    place: int
    reason: str
    final: bool = False


class Subscriber(Protocol):
    """Takes results, one thread at a time. What was delivered may come again, and changes nothing then."""

    def deliver(self, results: Sequence[Result]) -> list[Failure]:
        """Deliver results, and return which were not; those that are not named are durable with the subscriber.

        One that keeps values keeps the newer, by `Result.age`: to deliver an older one changes nothing, and is no failure.

        Raises:
            StoreUnavailableError: it does not answer; some may have been delivered.
        """
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


@runtime_checkable
class ResultStore(Subscriber, Protocol):
    """A subscriber that keeps values, and tells them."""

    def latest(self, user_id: str, surface: str) -> Result | None:
        """Return what was delivered last, `None` where nothing is kept; any number of threads may ask.

        Raises:
            StoreUnavailableError: it does not answer in time.
        """
        ...


@dataclass(frozen=True, slots=True)
class SubscriberPlace:
    """Where results go.

    Attributes:
        url: such as "redis://127.0.0.1:6379/0".
        folder: that a file's relative path begins at.
        tenant: in the names of keys, tables and topics.
        keep_ms: how long a value is kept that no other replaces, ms.
        timeout: seconds that one answer may take.
    """

    url: str
    folder: Path
    tenant: str = "default"
    keep_ms: int = 7 * 86_400_000
    timeout: float = 5.0


def open_subscriber(place: SubscriberPlace, setting: str = "publish.to") -> Subscriber:
    """Open a subscriber; it connects when something is first delivered.

    Raises:
        NearlineError: no such adapter, its client is not installed, or the URL says too little.
    """
    opened: Subscriber = adapter(results, setting, place.url).open_subscriber(place)
    return opened


def open_result_store(place: SubscriberPlace) -> ResultStore:
    """Open a subscriber that tells what it keeps.

    Raises:
        NearlineError: as `open_subscriber`, or it keeps nothing.
    """
    opened = open_subscriber(place, "storage.results")
    if not isinstance(opened, ResultStore):
        opened.close()
        raise NearlineError(
            "storage.results", named(place.url), "name a store that keeps values, such as redis: or postgresql:"
        )
    return opened


def named(url: str) -> str:
    """Return what a subscriber is called in lines, metrics and dead letters: a webhook's path may be its secret."""
    scheme, separator, rest = shown(url).partition("://")
    return f"{scheme}{separator}{rest.partition('/')[0]}" if scheme_of(url).startswith("http") else shown(url)
