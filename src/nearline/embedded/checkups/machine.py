"""The machine: space on the disk, and room for the state."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

from nearline.stores.finding import Finding

if TYPE_CHECKING:
    from nearline.embedded.doctor import System

LITTLE, FEW = 0.05, 0.15
"""Shares of the disk that are free."""
LEAST = 1_000_000_000
"""Bytes: a snapshot and a release are written beside the old ones before these go."""


def look(system: System) -> Iterator[Finding]:
    """Yield how full the disk is."""
    disk = shutil.disk_usage(system.tenant.folder)
    told = f"{disk.free / 1e9:,.1f} GB free of {disk.total / 1e9:,.0f} ({disk.free / disk.total:.0%}) at {system.tenant.folder}"
    why = "when it is full, events are refused, and neither archive, snapshot nor release can be written"
    remedy = "make room, or shorten retention.lake_days and retention.log_days"
    if disk.free < LEAST or disk.free < LITTLE * disk.total:
        yield Finding("wrong", "disk", told, why, remedy)
    elif disk.free < FEW * disk.total:
        yield Finding("warning", "disk", told, why, remedy)
    else:
        yield Finding("ok", "disk", told)
