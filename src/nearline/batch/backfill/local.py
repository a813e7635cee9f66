"""A backfill in this process: the lake is divided into files by bucket, and those are folded one after the other."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from nearline.app.tenant import Tenant
from nearline.batch.backfill.folding import BucketFolder, Folded
from nearline.batch.backfill.pieces import pieces
from nearline.batch.backfill.plan import Job
from nearline.batch.backfill.splits import events_of

ASIDE = ".events"
"""In the output's folder: events by bucket, 96 bytes each, until they are folded."""


def run_local(tenant: Tenant, job: Job, tell: Callable[[str], None] = lambda text: None) -> list[Folded]:
    """Write the buckets that are wanted; return what they came to."""
    aside = job.out / ASIDE
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        for number, split in enumerate(job.splits):
            for piece in pieces(events_of(tenant, split, job.plan.horizon), job.plan.buckets, job.wanted):
                with (aside / str(piece.bucket)).open("ab") as file:
                    piece.events.tofile(file)
            tell(f"read {number + 1} of {len(job.splits)} parts of the lake")
        folder, done = BucketFolder(tenant, job), []
        for bucket in job.wanted.nonzero()[0].tolist():
            done.append(folder.fold(bucket, aside / str(bucket)))
            (aside / str(bucket)).unlink(missing_ok=True)
            tell(f"folded {len(done)} of {int(job.wanted.sum())} buckets")
        return done
    finally:
        shutil.rmtree(aside, ignore_errors=True)
