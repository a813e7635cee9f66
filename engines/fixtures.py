"""Engines that several tests use: started once, where they can run here; otherwise their tests say what is missing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engines import kafka, postgresql, valkey


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
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[valkey.Valkey]:
    """A Valkey server; each test takes tenants of its own."""
    if missing := valkey.available():
        pytest.skip(f"Valkey {missing}")
    server = valkey.Valkey(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[valkey.ValkeyCluster]:
    """A cluster of three masters."""
    if missing := valkey.available():
        pytest.skip(f"Valkey {missing}")
    cluster = valkey.ValkeyCluster(tmp_path_factory.mktemp("cluster"))
    cluster.start()
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[postgresql.Postgresql]:
    """A PostgreSQL server; each test takes tenants of its own."""
    if missing := postgresql.available():
        pytest.skip(f"PostgreSQL {missing}")
    server = postgresql.Postgresql()
    server.start()
    yield server
    server.remove()
