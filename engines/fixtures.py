"""Engines that several tests use: started once, where they can run here; otherwise their tests say what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import pytest

from engines import kafka, postgresql, s3, valkey
from engines.servers import SERVERS, StoreServer, serving
from nearline.stores import buckets

Start = Callable[[str], StoreServer]
"""Returns the server of a name in `SERVERS`, started where it was not yet."""


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kafka.Kafka]:
    """A Kafka broker; each test takes tenants of its own."""
    if missing := kafka.available():
        pytest.skip(f"Kafka {missing}")
    server = kafka.Kafka(tmp_path_factory.mktemp("kafka"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Servers by name, each started when it is first asked for; each test takes places of its own there."""
    running: dict[str, StoreServer] = {}
    with ExitStack() as stack:

        def start(name: str) -> StoreServer:
            if name not in running:
                entry = SERVERS[name]
                if missing := entry.missing():
                    pytest.skip(f"{name} {missing}")
                server = entry.make(tmp_path_factory.mktemp(name))
                stack.callback(server.remove)
                server.start()
                running[name] = server
            return running[name]

        yield start


@pytest.fixture
def server(started: Start, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> StoreServer:
    """The server that a test's parameter names; the environment of this process and those it starts leads there."""
    found = started(request.param)
    for name, value in found.environment.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture(params=["file", *serving(buckets)])
def objects_url(request: pytest.FixtureRequest, started: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The URL of an empty store of objects, of each adapter."""
    if request.param == "file":
        return f"file://{tmp_path / 'objects'}"
    found = started(request.param)
    for name, value in found.environment.items():
        monkeypatch.setenv(name, value)
    return found.place()


@pytest.fixture(scope="session")
def redis_server(started: Start) -> valkey.Valkey:
    """A Valkey server."""
    return cast(valkey.Valkey, started("redis"))


@pytest.fixture(scope="session")
def redis_cluster(started: Start) -> valkey.ValkeyCluster:
    """A cluster of three masters."""
    return cast(valkey.ValkeyCluster, started("redis-cluster"))


@pytest.fixture(scope="session")
def postgresql_server(started: Start) -> postgresql.Postgresql:
    """A PostgreSQL server."""
    return cast(postgresql.Postgresql, started("postgresql"))


@pytest.fixture
def bucket(started: Start, monkeypatch: pytest.MonkeyPatch) -> s3.S3:
    """A server of objects that speaks S3; the environment of this process and those it starts leads there."""
    server = cast(s3.S3, started("s3"))
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return server
