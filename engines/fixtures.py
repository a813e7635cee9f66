"""Engines that several tests use: started once, where they can run here; otherwise their tests say what is missing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engines import kafka


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kafka.Kafka]:
    """A Kafka broker; each test takes tenants of its own."""
    if missing := kafka.available():
        pytest.skip(f"Kafka {missing}")
    server = kafka.Kafka(tmp_path_factory.mktemp("kafka"))
    server.start()
    yield server
    server.kill()
