"""The client against a real server: nothing that it accepted is lost or counted twice, whatever happens to the server."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest
from server_process import Server, items

from nearline.client import ApiError, AsyncClient, Client, OutboxOptions, Rejection, Retry, UnavailableError

LIVELY = 0.05
"""Seconds; putting an event into a queue takes microseconds, and nothing on a busy machine takes this long so often."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"SERVER_PORT": free_port(), "SERVER_API_KEY": "secret"}
    server = Server(tmp_path_factory.mktemp("client"), settings)
    server.start()
    try:
        yield server
    finally:
        server.end()


def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}"


def stored(server: Server) -> list[str]:
    """Return the event ids in the log, in order; the server must not run, or be idle."""
    log = server.tenant().log(read_only=True)
    found: list[str] = []
    while True:
        _, records = log.read("user_events", len(found), 10_000)
        if not records:
            log.close()
            return found
        found += [record.event_id for record in records]


def test_lists_items_users_and_errors(server: Server) -> None:
    with Client(url(server), "secret") as client:
        taken = client.put_items([*items(50), {"title": "no id"}])
        assert (taken.accepted, len(taken.rejected), taken.item_ids[-1]) == (50, 1, None)
        for k in range(20):
            assert client.event("click", user_id="ann", item_id=f"i{k % 4}", page="homepage", position=k, price=1.5)
        assert client.flush()
        assert client.stats().sent == 20
        shown = client.recommend("ann", page_size=5, exclude=["i0"], device="mobile")
        assert len(shown.items) == 5
        assert shown.request_id
        assert shown.items[0].rank == 1
        assert shown.items[0].metadata["title"]
        assert "i0" not in [item.item_id for item in shown.items]
        assert client.recommend(session_id="s1", page_size=2).items
        assert client.similar("i1", limit=3).source_item == "i1"
        assert client.trending(limit=3).items
        assert client.user("ann")["recent_views"]
        assert client.put_list("front", ["i1", "i2"], title="Front").item_ids == ["i1", "i2"]
        assert [kept.name for kept in client.lists()] == ["front"]
        client.delete_list("front")
        assert client.lists() == []
        assert client.erase("ann").user_id == "ann"
        with pytest.raises(ApiError) as caught:
            client.user("nobody")
        assert caught.value.status == 404
        with pytest.raises(ApiError, match="page_size") as caught:
            client.recommend("ann", page_size=0)
        assert caught.value.request_id
    with Client(url(server), "wrong") as client:
        with pytest.raises(ApiError) as caught:
            client.trending()
        assert caught.value.status == 401
        client.event("click", user_id="u", item_id="i1")
    assert (client.stats().lost, client.stats().waiting) == (1, 0)


def test_rejected_events_are_told_and_the_others_of_their_batch_arrive(server: Server) -> None:
    told: list[tuple[Rejection, bytes]] = []
    options = OutboxOptions(on_rejected=lambda rejection, event: told.append((rejection, event)))
    with Client(url(server), "secret", outbox=options) as client:
        good = client.event("click", user_id="u", item_id="i1")
        client.event("purchse", user_id="u", item_id="i1")
        client.event("click", user_id="u")
        with pytest.raises(TypeError):
            client.event("click", user_id="u", item_id="i1", context={"odd": object()})
    stats = client.stats()
    assert (stats.accepted, stats.sent, stats.rejected, stats.waiting) == (3, 1, 2, 0)
    assert [rejection.field for rejection, _ in told] == ["event_type", "item_id"]
    assert msgspec.json.decode(told[0][1])["event_type"] == "purchse"
    assert stored(server)[-1] == good


def test_asyncio_has_the_same(server: Server) -> None:
    async def run() -> AsyncClient:
        async with AsyncClient(url(server), "secret") as client:
            lists = await asyncio.gather(*(client.recommend(f"u{k}", page_size=3) for k in range(8)))
            assert all(shown.items for shown in lists)
            for k in range(500):
                client.event("view", user_id="bea", item_id=f"i{k % 9}", request_id=lists[0].request_id)
            assert await client.flush()
            assert (await client.similar("i1")).source_item == "i1"
            assert (await client.trending(limit=2)).items
            assert (await client.put_items(items(3))).accepted == 3
            assert (await client.user("bea"))["recent_views"]
            with pytest.raises(ApiError):
                await client.user("nobody")
            client.event("view", user_id="bea", item_id="i1")
            assert (await client.erase("cid")).user_id == "cid"
        return client

    client = asyncio.run(run())
    assert (client.stats().accepted, client.stats().sent) == (501, 501)


@pytest.mark.parametrize("kind", ["threads", "asyncio"])
def test_killed_under_load_every_accepted_event_arrives_once(server: Server, tmp_path: Path, kind: str) -> None:
    before = len(stored(server))
    ids: list[str | None] = []
    slow: list[float] = []
    done = threading.Event()
    options = OutboxOptions(queue=200_000, batch=50, seconds=0.02)

    def put(client: Client | AsyncClient, name: str, k: int) -> None:
        begun = time.perf_counter()
        ids.append(client.event("click", user_id=f"{name}-{k % 50}", item_id=f"i{k % 50}"))
        slow.append(time.perf_counter() - begun)

    def threads() -> Client:
        with Client(url(server), "secret", timeout=10, outbox=options) as client:

            def work(name: str) -> None:
                k = 0
                while not done.is_set():
                    put(client, name, k)
                    k += 1
                    time.sleep(0.002)

            workers = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(3)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            assert client.flush(120)
        return client

    async def tasks() -> AsyncClient:
        async with AsyncClient(url(server), "secret", timeout=10, outbox=options) as client:
            k = 0
            while not done.is_set():
                put(client, "task", k)
                k += 1
                await asyncio.sleep(0.002)
            assert await client.flush(120)
        return client

    ended: list[Client | AsyncClient] = []
    load = threading.Thread(target=lambda: ended.append(threads() if kind == "threads" else asyncio.run(tasks())))
    load.start()
    for _ in range(2):
        time.sleep(0.7)
        server.kill()
        time.sleep(0.3)
        server.start()
    time.sleep(0.5)
    done.set()
    load.join(180)
    (client,) = ended
    stats = client.stats()
    server.stop()  # everything is in the log
    found = stored(server)[before:]
    server.start()
    assert None not in ids
    assert len(ids) > 300
    assert stats.retries > 0
    assert (stats.accepted, stats.sent, stats.dropped, stats.rejected, stats.lost) == (len(ids), len(ids), 0, 0, 0)
    assert Counter(found) == Counter(ids)
    assert sorted(slow)[len(slow) * 99 // 100] < LIVELY


def answering(*answers: httpx.Response | Exception) -> tuple[httpx.MockTransport, list[list[str]]]:
    """Return a transport that gives these answers, the last one for ever, and the event ids of each request."""
    requests: list[list[str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        body = msgspec.json.decode(request.content) if request.content else []
        requests.append([event["event_id"] for event in body])
        found = answers[min(len(requests), len(answers)) - 1]
        if isinstance(found, Exception):
            raise found
        return found

    return httpx.MockTransport(answer), requests


def taken(n: int) -> httpx.Response:
    return httpx.Response(202, json={"accepted": n, "event_ids": [], "rejected": []})


def test_a_busy_server_is_given_the_time_it_asks_for() -> None:
    transport, requests = answering(httpx.Response(429, headers={"Retry-After": "1"}), httpx.ConnectError("no"), taken(1))
    with Client("http://x", transport=transport) as client:
        begun = time.monotonic()
        client.event("click", user_id="u", item_id="i")
        assert client.flush(20)
        assert time.monotonic() - begun >= 1.0
    assert [len(set(ids)) for ids in requests] == [1, 1, 1]
    assert requests[0] == requests[1] == requests[2]  # the same id, so that it counts once
    assert (client.stats().sent, client.stats().retries) == (1, 2)


def test_a_body_too_large_is_halved_and_a_full_queue_says_so() -> None:
    transport, requests = answering(httpx.Response(413), taken(2))
    options = OutboxOptions(queue=4, seconds=60)
    client = Client("http://x", transport=transport, outbox=options)
    ids = [client.event("click", user_id="u", item_id=str(k)) for k in range(6)]
    assert [event_id is None for event_id in ids] == [False] * 4 + [True] * 2
    client.close()
    assert [len(ids) for ids in requests] == [4, 2, 2]
    assert client.event("click", user_id="u", item_id="late") is None
    stats = client.stats()
    assert (stats.accepted, stats.sent, stats.dropped, stats.waiting) == (4, 4, 3, 0)

    transport, requests = answering(taken(3))
    client = Client("http://x", transport=transport, outbox=OutboxOptions(queue=3, seconds=60, full="oldest"))
    ids = [client.event("click", user_id="u", item_id=str(k)) for k in range(5)]
    client.close()
    assert requests == [ids[2:]]


def test_closing_does_not_wait_for_a_server_that_is_gone() -> None:
    transport, _ = answering(httpx.ConnectError("gone"))
    client = Client("http://x", transport=transport, outbox=OutboxOptions(seconds=0.01))
    client.event("click", user_id="u", item_id="i")
    begun = time.monotonic()
    client.close(timeout=0.5)
    assert time.monotonic() - begun < 20
    assert (client.stats().lost, client.stats().waiting) == (1, 0)


def test_calls_are_tried_again_only_so_often() -> None:
    transport, requests = answering(httpx.Response(503, json={"detail": "restoring"}))
    quick = Retry(tries=3, base=0.001, longest=0.01)
    with Client("http://x", transport=transport, retry=quick) as client, pytest.raises(UnavailableError, match="restoring"):
        client.trending()
    assert len(requests) == 3


PROGRAM = """
import os, sys
from nearline.client import Client, OutboxOptions
assert not {"numpy", "numba"} & set(sys.modules), "the client loads what it does not need"
client = Client(sys.argv[1], "secret", outbox=OutboxOptions(seconds=30))
client.event("click", user_id="parent", item_id="i1", event_id="from-parent")
if os.fork() == 0:
    client.event("click", user_id="child", item_id="i1", event_id="from-child")
    sys.exit(0)
os.wait()
"""


def test_the_end_of_a_program_sends_what_waits_and_a_forked_child_only_its_own(server: Server) -> None:
    before = len(stored(server))
    done = subprocess.run([sys.executable, "-c", PROGRAM, url(server)], capture_output=True, text=True, env={**os.environ})
    assert done.returncode == 0, done.stderr
    assert Counter(stored(server)[before:]) == Counter(["from-parent", "from-child"])
