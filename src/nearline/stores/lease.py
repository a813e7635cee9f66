"""A lock in a store of objects: numbered leases, each created only where there was none, of which the last one counts."""

from __future__ import annotations

import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import msgspec

from nearline.schema.errors import StoreUnavailableError
from nearline.stores.objects import Objects

SECONDS = 45.0
"""That a lease runs for; its holder renews it three times in that time."""
GRACE = 45.0
"""Seconds that others wait beyond the end of a lease that was not given back: longer than a put may take, and than
clocks of machines differ."""
LOOK = 0.5
"""Seconds between two looks of those who wait."""
PATIENCE = 600.0
"""Seconds after which they give up."""


class Owner(msgspec.Struct, frozen=True):
    """What a lease says: whose it is, and until when (seconds since 1970, by the clock of its holder's machine)."""

    owner: str
    until: float


class Lease:
    """A lease that is held, renewed by a thread of its own.

    Number n + 1 is created only once n was given back or has run out. A holder that was frozen meanwhile finds that its time
    is over before it writes anything.

    Args:
        objects: where it is.
        name: of the object.
        held: what that says.
    """

    def __init__(self, objects: Objects, name: str, held: Owner) -> None:
        self._objects, self._name, self._held = objects, name, held
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True, name="lease")
        self._thread.start()

    def check(self) -> None:
        """Return where it is held still."""
        if time.time() > self._held.until:
            raise StoreUnavailableError(f"the lock {self._name} ran out while its holder was away; run again")

    def give_back(self) -> None:
        """Let others take it now; where the store does not answer, it runs out by itself."""
        self._ended.set()
        self._thread.join()
        if time.time() <= self._held.until:
            with suppress(StoreUnavailableError):
                self._put(0.0)

    def _renew(self) -> None:
        while not self._ended.wait(SECONDS / 3):
            with suppress(StoreUnavailableError):
                renewed = self._put(time.time() + SECONDS)
                if time.time() > self._held.until:
                    return  # it came too late: another may have taken over
                self._held = renewed

    def _put(self, until: float) -> Owner:
        owner = msgspec.structs.replace(self._held, until=until)
        self._objects.put(self._name, msgspec.json.encode(owner))
        return owner


@contextmanager
def leased(objects: Objects, name: str, wait: bool = True) -> Iterator[Lease]:
    """Hold the lease of a name as long as the body runs.

    Raises:
        BlockingIOError: another holds it, and `wait` is False.
        StoreUnavailableError: the store does not answer, or another holds it for too long.
    """
    lease = _take(objects, name, wait)
    try:
        yield lease
    finally:
        lease.give_back()


def _take(objects: Objects, name: str, wait: bool) -> Lease:
    owner, give_up = f"{socket.gethostname()}/{uuid.uuid4().hex}", time.monotonic() + PATIENCE
    while True:
        taken = objects.names(name)
        last = _read(objects, taken[-1]) if taken else Owner("", 0.0)
        if last is None:
            continue
        if last.owner == owner:
            objects.delete(taken[:-1])
            return Lease(objects, taken[-1], last)
        if last.until + (GRACE if last.until else 0.0) < time.time():
            number = int(taken[-1].rpartition("/")[2]) + 1 if taken else 1
            held = Owner(owner, time.time() + SECONDS)
            objects.create(f"{name}/{number:012d}", msgspec.json.encode(held))
            continue  # the list says whose it is: a create that came late may not be the last one
        if not wait:
            raise BlockingIOError(f"{name} is held by {last.owner}")
        if time.monotonic() > give_up:
            raise StoreUnavailableError(f"the lock {name} is held by {last.owner}")
        time.sleep(LOOK)


def _read(objects: Objects, name: str) -> Owner | None:
    try:
        return msgspec.json.decode(objects.read(name), type=Owner)
    except FileNotFoundError:
        return None  # the next holder dropped it
