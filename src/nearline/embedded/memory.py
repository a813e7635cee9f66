"""Memory of a process that serves or folds: nothing is given back in between, and old objects are not searched for garbage."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import resource
import sys
from pathlib import Path

_TRIM, _MAP, _ARENAS = -1, -3, -8
"""Numbers of glibc's `mallopt`: give back above, map instead of allocate above, arenas at most."""
_KEEP = 64 << 20
_LARGEST = 32 << 20
"""The most that glibc takes as its threshold for mapping, in bytes."""


def keep_freed() -> None:
    """Have the allocator keep what is freed, where it is glibc's.

    A list frees and allocates the same arrays again and again; giving their pages back to the system and having them
    cleared again cost 6 % of a list.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for option, value in ((_ARENAS, 1), (_MAP, _LARGEST), (_TRIM, _KEEP)):
        mallopt(option, value)


def settle() -> None:
    """Leave what lives now out of garbage collection: the catalogue's objects would be walked in every full one."""
    gc.collect()
    gc.freeze()


def forget_peak() -> None:
    """Begin anew with the most memory that this process has held, where the system can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_megabytes() -> float:
    """Return the most memory that this process has held since `forget_peak`, or since its start, in MB."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return float(line.split()[1]) * 1024 / 1e6
    # In kilobytes, on macOS in bytes.
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * (1 if sys.platform == "darwin" else 1024) / 1e6
