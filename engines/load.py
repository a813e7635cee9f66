"""Clients of two servers: lists with one retry at the other server, and events sent until they are acknowledged."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

LISTS, EVENTS, BATCH = 4, 4, 10
"""Threads that ask for lists, threads that send events, events of a request."""
PATIENCE = 10.0
"""Seconds that one answer may take."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One list: when it was asked for and how long that took (s, monotonic), the last status (0: no answer), tries."""

    at: float
    seconds: float
    status: int
    tries: int
    source: str


class Load:
    """Visitors of a shop, until stopped.

    Args:
        ports: of the servers.
        lists, events: per second.
        seed: of what visitors do; also in the ids of events.
    """

    def __init__(self, ports: Sequence[int], lists: float, events: float, seed: int, users: int = 300, items: int = 60) -> None:
        self._ports, self._seed, self._users, self._items = list(ports), seed, users, items
        self.asked: list[Asked] = []
        self.acknowledged: list[str] = []
        self.refused: dict[str, int] = {}
        """Answers to events other than 202, by what came instead."""
        self.slowest = 0.0
        """Seconds that the slowest answer to events took, good or bad."""
        self._lock, self._ending = threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._lists, args=(n, LISTS / lists)) for n in range(LISTS)]
        self._threads += [threading.Thread(target=self._events, args=(n, EVENTS * BATCH / events)) for n in range(EVENTS)]

    def __enter__(self) -> Load:
        """Begin."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Ask no more, and wait until each event that was sent is acknowledged."""
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, links: dict[int, http.client.HTTPConnection], port: int, path: str, body: bytes | None) -> tuple[int, bytes]:
        link = links.get(port)
        if link is None:
            link = links[port] = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        try:
            link.request(
                "GET" if body is None else "POST", path, body, {} if body is None else {"Content-Type": "application/json"}
            )
            answer = link.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            link.close()
            links.pop(port)
            return 0, type(error).__name__.encode()

    def _pace(self, due: float, every: float) -> float:
        """Wait for the next turn; what was missed is not made up for."""
        due = max(due + every, time.monotonic() - every)
        self._ending.wait(max(0.0, due - time.monotonic()))
        return due

    def _lists(self, number: int, every: float) -> None:
        links: dict[int, http.client.HTTPConnection] = {}
        rng, due, turn = random.Random(f"{self._seed}-{number}"), time.monotonic(), number
        while not self._ending.is_set():
            turn += 1
            began = time.monotonic()
            path = f"/v1/recommendations?user_id=u{rng.randrange(self._users)}&page_size=10"
            for tries in (1, 2):
                status, body = self._ask(links, self._ports[(turn + tries) % len(self._ports)], path, None)
                if 0 < status < 500:
                    break
            source = json.loads(body)["served_from"] if status == 200 else ""
            self.asked.append(Asked(began, time.monotonic() - began, status, tries, source))
            due = self._pace(due, every)
        _close(links)

    def _events(self, number: int, every: float) -> None:
        links: dict[int, http.client.HTTPConnection] = {}
        rng, due, sent = random.Random(f"{self._seed}+{number}"), time.monotonic(), 0
        while not self._ending.is_set():
            batch = [
                {
                    "event_id": f"{self._seed}-{number}-{sent + k}",
                    "user_id": f"u{rng.randrange(self._users)}",
                    "event_type": rng.choice(("view", "click", "click", "purchase", "dislike")),
                    "item_id": f"i{rng.randrange(self._items)}",
                }
                for k in range(BATCH)
            ]
            sent += BATCH
            self._deliver(links, json.dumps(batch).encode(), [str(event["event_id"]) for event in batch], sent + number)
            due = self._pace(due, every)
        _close(links)

    def _deliver(self, links: dict[int, http.client.HTTPConnection], body: bytes, ids: list[str], turn: int) -> None:
        while True:
            turn += 1
            began = time.monotonic()
            status, said = self._ask(links, self._ports[turn % len(self._ports)], "/v1/events", body)
            took = time.monotonic() - began
            with self._lock:
                self.slowest = max(self.slowest, took)
                if status == 202:
                    self.acknowledged += ids
                    return
                word = str(status) if status else said.decode()
                self.refused[word] = self.refused.get(word, 0) + 1
            if status not in (0, 429, 500, 502, 503, 504):
                raise AssertionError(f"{status}: {said!r}")
            time.sleep(0.25)


def _close(links: dict[int, http.client.HTTPConnection]) -> None:
    for link in links.values():
        link.close()
