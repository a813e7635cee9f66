"""What a deployment leaves on this machine: keys, members of the group, memory and open files. Faults must not add to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import AdminClient

from engines.deployment import PARTITIONS, Deployment
from engines.process import ServerProcess
from engines.truth import expected, held
from nearline.stores.user_rows import UserRow


@dataclass(frozen=True, slots=True)
class Traces:
    """What was found at one moment.

    Attributes:
        keys: in the store.
        wanted: keys that it should have: of each visitor's row, and of the progress of each partition.
        members: of the group of stream workers.
        memory: MB resident, of all servers and workers.
        files: open, sockets too, of all servers and workers.
    """

    keys: int
    wanted: int
    members: int
    memory: float
    files: int


def traces(shop: Deployment) -> Traces:
    """Look at a deployment whose store is one server."""
    tenant = shop.tenant()
    log = tenant.log(read_only=True)
    try:
        rows = expected(tenant, held(log)).values()
    finally:
        log.close()
    running = (*shop.servers, *shop.workers)
    wanted = sum(map(_names, rows)) + PARTITIONS
    keys = int(shop.one.say("DBSIZE").removeprefix(":"))
    return Traces(keys, wanted, members(shop), sum(map(_memory, running)), sum(map(_files, running)))


def members(shop: Deployment) -> int:
    """Return how many belong to the group of stream workers, as the broker sees it."""
    admin = AdminClient({"bootstrap.servers": shop.broker.url.removeprefix("kafka://")})
    group = f"{shop.prefix}.default.stream"
    return len(admin.describe_consumer_groups([group])[group].result(30).members)


def _names(row: UserRow) -> int:
    return bool(row.hot) + bool(row.history)


def _memory(process: ServerProcess) -> float:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith("VmRSS"))


def _files(process: ServerProcess) -> int:
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
