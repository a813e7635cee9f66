"""What Redis says of itself: whether it writes to disk, what it does when it is full, what time it thinks it is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from redis import Redis

from nearline.stores.adapters import shown
from nearline.stores.finding import Finding
from nearline.stores.user_rows import RowsPlace
from nearline.stores.users._redis import FAILED, connected

FULL = 0.8
"""Share of `maxmemory` from which it is time for more."""
SKEW = 1.0
"""Seconds that its clock may differ."""


def diagnose(place: RowsPlace) -> Iterator[Finding]:
    """Yield what each server says; a cluster's masters are asked one by one."""
    try:
        client = connected(place)
        nodes = [node.redis_connection for node in client.get_primaries()] if hasattr(client, "get_primaries") else [client]
        try:
            for node in nodes:
                yield from _node(node)
        finally:
            client.close()
    except FAILED as error:
        remedy = f"start {shown(place.url)}, or name another store: [storage] state"
        why = "visitors are served from the rows last read, or as if they were new"
        yield Finding("wrong", "Redis", f"does not answer: {error}", why, remedy)


def _node(node: Redis) -> Iterator[Finding]:
    told: Any = node.info()
    name = f"Redis {node.connection_pool.connection_kwargs.get('port', '')}".strip()
    yield Finding("ok", name, f"{told.get('redis_version')}, {node.dbsize():,} keys, {told['used_memory'] / 1e6:,.0f} MB")
    if told.get("aof_enabled"):
        yield Finding("ok", f"{name}: append-only file", "on")
    else:
        why = "after a crash rows go back to the last snapshot, and the stream does not fold those events again"
        yield Finding("wrong", f"{name}: append-only file", "off", why, "set appendonly yes (CONFIG SET works while it runs)")
    policy, most = str(told.get("maxmemory_policy", "")), int(told.get("maxmemory", 0))
    if policy != "noeviction":
        why = "when it is full it drops rows, and their visitors are strangers, without any error"
        yield Finding("wrong", f"{name}: maxmemory-policy", policy, why, "set maxmemory-policy noeviction")
    else:
        yield Finding("ok", f"{name}: maxmemory-policy", policy)
    if most and told["used_memory"] > FULL * most:
        share = f"{told['used_memory'] / most:.0%} of {most / 1e6:,.0f} MB"
        why = "when it is full no row can be written, and the stream waits"
        yield Finding("warning", f"{name}: memory", share, why, "raise maxmemory, or shorten state.history_ttl_days")
    began = time.time()
    seconds, micros = node.time()
    skew = float(seconds) + float(micros) / 1e6 - (began + time.time()) / 2
    if abs(skew) > SKEW:
        why = "its keys expire by its own clock"
        yield Finding("warning", f"{name}: clock", f"{skew:+.1f} s from here", why, "keep both machines' time by NTP")
