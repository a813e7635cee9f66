"""Memory of a process that serves or folds: nothing is given back in between, and old objects are not searched for garbage."""

from __future__ import annotations

import ctypes
import gc

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
