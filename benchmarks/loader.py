"""HTTP load over keep-alive connections, cheap enough not to be what limits: a plain epoll loop.

Run it in a process of its own on a core of its own. Responses must have a content-length.
"""

from __future__ import annotations

import contextlib
import gc
import select
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

HOST = "127.0.0.1"
PATIENCE = 20.0
"""Seconds without any answer after which a run is given up."""
Make = Callable[[int], bytes]
"""From the number of a request to its bytes."""
Look = Callable[[int, bytes], str]
"""From status and response to the word that the response counts under."""


def get(path: str) -> bytes:
    """Return a GET request."""
    return f"GET {path} HTTP/1.1\r\nhost: {HOST}\r\n\r\n".encode()


def post(path: str, body: bytes) -> bytes:
    """Return a POST request with a JSON body."""
    head = f"POST {path} HTTP/1.1\r\nhost: {HOST}\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def status_of(status: int, _: bytes) -> str:
    """Return the status: a `Look` for when nothing else matters."""
    return str(status)


class Connection:
    """One keep-alive connection with at most one request under way."""

    __slots__ = ("buffer", "due", "left", "sent", "sock", "want")

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection((HOST, port), timeout=PATIENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer, self.want, self.left, self.due, self.sent = b"", -1, b"", 0.0, 0.0

    def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send one request, wait, and return status and response."""
        self.sock.setblocking(True)
        self.sock.sendall(request)
        while not self.take(self.sock.recv(1 << 18)):
            pass
        return self.answer()

    def take(self, data: bytes) -> bool:
        """Add what came; return whether the response is whole."""
        if not data:
            raise ConnectionError("the server closed a connection under way")
        self.buffer = self.buffer + data if self.buffer else data
        if self.want < 0:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return False
            begin = self.buffer.find(b"content-length: ", 0, end) + 16
            self.want = end + 4 + int(self.buffer[begin : self.buffer.find(b"\r", begin)])
        return len(self.buffer) >= self.want

    def answer(self) -> tuple[int, bytes]:
        """Return status and response, ready for the next request."""
        data, self.buffer, self.want = self.buffer, b"", -1
        return int(data[9:12]), data

    def send(self, data: bytes) -> bool:
        """Send without waiting; return whether some is left to send."""
        sent = self.sock.send(data)
        self.left = data[sent:]
        return bool(self.left)


@dataclass(slots=True)
class Load:
    """What a run came to. Times are monotonic seconds by request, in order of their ends.

    Attributes:
        due: when each was to be sent (closed loop: when it was sent).
        done: when its response was whole.
        words: responses by word.
        seconds: from the first to the last counted moment.
        answered: responses, those while warming up included.
        late: requests that the loader itself sent more than 1 ms late though a connection was free.
    """

    due: list[float] = field(default_factory=list)
    done: list[float] = field(default_factory=list)
    words: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    answered: int = 0
    late: int = 0

    @property
    def rate(self) -> float:
        """Responses a second."""
        return len(self.done) / self.seconds

    @property
    def latencies(self) -> list[float]:
        """Seconds from when each was due until its response was whole."""
        return [done - due for due, done in zip(self.due, self.done, strict=True)]


class _Pool:
    """Connections on one epoll, whose waits end to the microsecond."""

    def __init__(self, port: int, n: int) -> None:
        self.connections = [Connection(port) for _ in range(n)]
        self.epoll = select.epoll()
        self.by_fd = {c.sock.fileno(): c for c in self.connections}
        for c in self.connections:
            c.sock.setblocking(False)
            self.epoll.register(c.sock.fileno(), select.EPOLLIN)

    def start(self, connection: Connection, request: bytes) -> None:
        if connection.send(request):
            self.epoll.modify(connection.sock.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def wait(self, until: float) -> list[Connection]:
        """Return the connections whose response is whole, after sleeping at most until then."""
        left = until - time.monotonic()
        # epoll counts in milliseconds; select on the epoll itself sleeps as long as asked.
        if left > 0:
            select.select([self.epoll], [], [], left)
        whole = []
        for fd, happened in self.epoll.poll(0):
            connection = self.by_fd[fd]
            if happened & select.EPOLLOUT and not connection.send(connection.left):
                self.epoll.modify(fd, select.EPOLLIN)
            if happened & ~select.EPOLLOUT and connection.take(connection.sock.recv(1 << 18)):
                whole.append(connection)
        return whole

    def close(self) -> None:
        self.epoll.close()
        for connection in self.connections:
            connection.sock.close()


@contextlib.contextmanager
def _pool(port: int, n: int) -> Iterator[_Pool]:
    pool = _Pool(port, n)
    gc.collect()
    gc.disable()
    try:
        yield pool
    finally:
        gc.enable()
        pool.close()


def closed_loop(port: int, make: Make, connections: int, seconds: float, warm: float = 1.0, look: Look = status_of) -> Load:
    """Ask again on each connection as soon as its answer is there.

    Args:
        make: requests by number, 0, 1, 2, ...
        warm: seconds before counting begins.
    """
    load = Load()
    with _pool(port, connections) as pool:
        number = 0
        for connection in pool.connections:
            connection.sent = time.monotonic()
            pool.start(connection, make(number))
            number += 1
        first = time.monotonic() + warm
        end, heard = first + seconds, time.monotonic()
        while True:
            whole, now = pool.wait(end), time.monotonic()
            if whole:
                heard = now
            elif now - heard > PATIENCE:
                raise TimeoutError("the server stopped answering")
            if now >= end:
                break
            for connection in whole:
                status, data = connection.answer()
                load.answered += 1
                if now >= first:
                    load.due.append(connection.sent)
                    load.done.append(now)
                    load.words[look(status, data)] += 1
                connection.sent = time.monotonic()
                pool.start(connection, make(number))
                number += 1
    load.seconds = seconds
    return load


def open_loop(
    port: int,
    make: Make,
    rate: float,
    seconds: float,
    connections: int = 128,
    warm: float = 1.0,
    look: Look = status_of,
    seed: int = 7,
) -> Load:
    """Ask at times of a Poisson process, whatever became of earlier requests; latency counts from them.

    It sleeps between them. Where no connection is free the request waits here, and its latency grows.
    """
    load = Load()
    gaps = np.random.default_rng(seed).exponential(1.0 / rate, int(rate * (seconds + warm) * 1.2) + 50)
    with _pool(port, connections) as pool:
        start = time.monotonic() + 0.05
        times: list[float] = (start + np.cumsum(gaps)).tolist()
        first, end = start + warm, start + warm + seconds
        free, waiting = deque(pool.connections), deque[float]()
        number, place, under_way, heard = 0, 0, 0, start
        while True:
            now = time.monotonic()
            while times[place] <= now and times[place] < end:
                waiting.append(times[place])
                place += 1
            while waiting and free:
                connection = free.popleft()
                connection.due, connection.sent = waiting.popleft(), now
                pool.start(connection, make(number))
                number += 1
                under_way += 1
                load.late += connection.due >= first and now - connection.due > 0.001 and len(free) > 1
            if times[place] >= end and not under_way and not waiting:
                break
            if now - heard > PATIENCE:
                raise TimeoutError("the server stopped answering")
            for connection in pool.wait(times[place] if times[place] < end else now + 0.1):
                heard = done = time.monotonic()
                status, data = connection.answer()
                load.answered += 1
                if connection.due >= first:
                    load.due.append(connection.due)
                    load.done.append(done)
                    load.words[look(status, data)] += 1
                free.append(connection)
                under_way -= 1
    load.seconds = seconds
    return load
