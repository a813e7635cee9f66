"""Releases that have nothing fitted, and which of them a server serves."""

from __future__ import annotations

import time

import numpy as np
from server_process import Server

from nearline.app.tenant import Tenant
from nearline.stores.releases import Manifest


def publish(tenant: Tenant) -> str:
    """Publish a release that fits the application and has nothing fitted."""
    version = tenant.releases.next_version()
    names, outcomes = list(tenant.features.names), list(tenant.app.outcomes)
    manifest = Manifest(version, "", 1, "faults", tenant.feature_set, names, outcomes, 0, 0, 0, 0, 0, "", {}, [], "", {})
    tenant.releases.publish(manifest, {"nothing": {"numbers": np.ones(3)}})
    return version


def version_of(server: Server) -> str:
    status, answer, _ = server.ask("GET", "/v1/recommendations?user_id=u1")
    assert status == 200
    return str(answer["model_version"])


def wait_for(server: Server, version: str) -> None:
    until = time.monotonic() + 60
    while version_of(server) != version:
        assert time.monotonic() < until, server.output()[-3000:]
        time.sleep(0.2)
