"""Engines that several tests use: started once, where they can run here; otherwise their tests say what is missing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engines import kafka, postgresql, s3, valkey


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


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3.S3]:
    """A server of objects that speaks S3."""
    if missing := s3.available():
        pytest.skip(f"moto's server {missing}")
    server = s3.S3(tmp_path_factory.mktemp("s3"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def bucket(s3_server: s3.S3, monkeypatch: pytest.MonkeyPatch) -> s3.S3:
    """The same, and the environment of this process and those it starts leads there."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return s3_server
