"""The plan of a backfill: which events go into it, and how its output is divided; kept beside it, so that it can go on."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nearline.app.sections import Settings
from nearline.app.tenant import Tenant
from nearline.batch.backfill.pieces import buckets_of
from nearline.batch.backfill.splits import Split, cut, erased_from, splits
from nearline.schema.clock import HOUR
from nearline.schema.errors import NearlineError
from nearline.stores.adapters import scheme_of
from nearline.stores.archive import archive
from nearline.stores.lake import Lake

PLAN, DONE = "_plan.json", "_done.json"  # what reads a folder of Parquet leaves such names alone
EVENTS_PER_BUCKET = 1_000_000
FEWEST, MOST = 16, 65_536
_FILE = re.compile(r"bucket-(\d+)\.parquet")


class Plan(msgspec.Struct, frozen=True):
    """What an output holds.

    Attributes:
        tenant: whose rows.
        state_set: hash of everything that gives the rows their form and meaning.
        as_of: events ingested before this time count, ms UTC.
        buckets: files that the visitors are divided into.
        columns: whether each fold is a column too.
        previous: folder of the output that it goes on from, "" for none.
        starts, ends: by partition, the offsets of the events that are folded in.
        horizon: ms within which an id counts once; 0 where the log holds nothing twice.
    """

    tenant: str
    state_set: str
    as_of: int
    buckets: int
    columns: bool
    previous: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    horizon: int


class Done(msgspec.Struct, frozen=True):
    """What a whole output came to; the file is written last."""

    visitors: int


@dataclass(frozen=True)
class Place:
    """A tenant as other processes find it.

    Attributes:
        app: file of the application.
        settings: the deployment.
        name: of the tenant.
    """

    app: Path
    settings: Settings
    name: str


@dataclass(frozen=True)
class Reading:
    """What of the lake is read, and how it is divided.

    Attributes:
        splits: what is to be read.
        horizon: ms within which an id counts once; 0 where the log holds nothing twice.
        wanted: by bucket, whether its events are asked for, `[buckets] bool`.
    """

    splits: tuple[Split, ...]
    horizon: int
    wanted: NDArray[np.bool_]


@dataclass(frozen=True)
class Job:
    """A plan with what is left of it to do.

    Attributes:
        plan: what is wanted.
        out: folder of the output.
        splits: what is to be read.
        wanted: by bucket, whether it is still to be folded, `[buckets] bool`.
        erased: keys of visitors who were erased since and are left out.
    """

    plan: Plan
    out: Path
    splits: tuple[Split, ...]
    wanted: NDArray[np.bool_]
    erased: frozenset[int]

    @property
    def reading(self) -> Reading:
        """What is to be read."""
        return Reading(self.splits, self.plan.horizon, self.wanted)

    def file(self, bucket: int) -> Path:
        """Return where a bucket's rows go."""
        return file_of(self.out, bucket)


def file_of(folder: Path, bucket: int) -> Path:
    """Return the file of a bucket in an output."""
    return folder / f"bucket-{bucket:05d}.parquet"


def plan_job(
    tenant: Tenant, as_of: int, out: Path, previous: Path | None = None, columns: bool = False, buckets: int = 0
) -> Job:
    """Plan an output, or what is left of one that was begun; events that are still in the log are archived first.

    Buckets of visitors who were erased since they were written are written again, also where the output was whole.

    Args:
        tenant: whose rows.
        as_of: events ingested before this time count, ms UTC.
        out: folder of the output.
        previous: an earlier output to go on from, so that only what came after it is folded.
        columns: whether each fold becomes a column too.
        buckets: files that the visitors are divided into; 0 for what the number of events asks for.

    Raises:
        NearlineError: the folder holds another output, `previous` can't be gone on from, or events are missing.
        StoreUnavailableError: the log can't be read.
    """
    horizon, lakes = archived(tenant)
    begun = read_plan(out)
    earlier = _gone_on_from(tenant, previous, as_of) if previous else None
    starts = earlier.ends if earlier else (0,) * len(lakes)
    ends = begun.ends if begun else tuple(cut(lake, as_of) for lake in lakes)
    if earlier:
        buckets = earlier.buckets
    elif not buckets:
        buckets = begun.buckets if begun else buckets_for(sum(ends))
    plan = Plan(
        tenant=tenant.name,
        state_set=tenant.state_set,
        as_of=as_of,
        buckets=buckets,
        columns=columns,
        previous=str(previous.resolve()) if previous else "",
        starts=starts,
        ends=ends,
        horizon=horizon,
    )
    if begun not in (None, plan):
        raise NearlineError("--out", str(out), "it holds another output: name an empty folder, or ask for the same again")
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / PLAN, plan)
    return _job(plan, out, lakes)


def archived(tenant: Tenant) -> tuple[int, list[Lake]]:
    """Archive what is still in the log; return the ms within which an id counts once, and each partition's lake.

    The time is 0 where the log holds nothing twice.

    Raises:
        StoreUnavailableError: the log can't be read.
    """
    log = tenant.log(read_only=scheme_of(tenant.settings.storage.log) == "sqlite")
    try:
        archive(log, tenant.lake, tenant.clock)
        horizon = tenant.settings.state.dedupe_hours * HOUR if log.shared else 0
    finally:
        log.close()
    return horizon, [tenant.lake.partition(number) for number in range(tenant.settings.storage.partitions)]


def buckets_for(events: int) -> int:
    """Return how many buckets so many events are divided into."""
    return int(np.clip(-(-events // EVENTS_PER_BUCKET), FEWEST, MOST))


def _job(plan: Plan, out: Path, lakes: list[Lake]) -> Job:
    found = [
        part for lake, a, b in zip(lakes, plan.starts, plan.ends, strict=True) for part in splits(lake, a, b, plan.horizon)
    ]
    gone = frozenset(key for lake, end in zip(lakes, plan.ends, strict=True) for key in erased_from(lake, end))
    wanted = np.ones(plan.buckets, np.bool_)
    wanted[[int(match[1]) for name in os.listdir(out) if (match := _FILE.fullmatch(name))]] = False
    wanted[buckets_of(np.array(sorted(gone), np.uint64), plan.buckets)] = True
    return Job(plan, out, tuple(found), wanted, gone)


def finish(job: Job) -> Done:
    """Say that an output is whole, once every bucket is there."""
    done = Done(sum(pq.read_metadata(job.file(bucket)).num_rows for bucket in range(job.plan.buckets)))
    write_json(job.out / DONE, done)
    return done


def read_plan(folder: Path) -> Plan | None:
    """Return the plan of an output, `None` where there is none."""
    path = folder / PLAN
    return msgspec.json.decode(path.read_bytes(), type=Plan) if path.exists() else None


def write_json(path: Path, what: msgspec.Struct) -> None:
    """Write a file whole or not at all."""
    draft = path.with_suffix(".tmp")
    draft.write_bytes(msgspec.json.encode(what))
    draft.replace(path)


def _gone_on_from(tenant: Tenant, previous: Path, as_of: int) -> Plan:
    """Return the plan of an earlier output that may be gone on from."""
    plan, given = read_plan(previous), str(previous)
    if plan is None or not (previous / DONE).exists():
        raise NearlineError("--from", given, "it is no whole output of `nearline features`")
    if (plan.tenant, plan.state_set) != (tenant.name, tenant.state_set):
        raise NearlineError(
            "--from", given, "its rows have another form or are another tenant's; replay from nothing, without --from"
        )
    if plan.as_of > as_of:
        raise NearlineError("--from", given, "it is of a later time than --as-of")
    return plan
