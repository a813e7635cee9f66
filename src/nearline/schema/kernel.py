"""Compiled kernels: module-level functions over plain arrays, with explicit signatures."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


b1: Any = numba.boolean
u1: Any = numba.uint8
u2: Any = numba.uint16
u4: Any = numba.uint32
u8: Any = numba.uint64
i1: Any = numba.int8
i2: Any = numba.int16
i4: Any = numba.int32
i8: Any = numba.int64
f4: Any = numba.float32
f8: Any = numba.float64


def kernel(*signature: object) -> Callable[[F], F]:
    """Compile a function now, or load it from the cache beside its file.

    Kernels release the GIL, keep IEEE order (no fastmath, so that no engine changes a byte) and divide as NumPy does.

    Args:
        signature: the argument types (`i4[::1], f4, ...`), or one Numba signature as a string.
    """
    types = signature[0] if len(signature) == 1 and isinstance(signature[0], str) else signature
    compiler = numba.njit(types, cache=True, nogil=True, error_model="numpy", fastmath=False)

    def compiled(function: F) -> F:
        # The cache looks at the kernel's own file; its name there tells what the files it borrows from were.
        if files := sorted(_lenders(function) - {function.__code__.co_filename}):
            content = b"".join(Path(file).read_bytes() for file in files)
            function.__qualname__ += f"_{zlib.crc32(content):08x}"
        return cast(F, compiler(function))

    return compiled


def _lenders(function: Any) -> set[str]:
    """Return the files of the compiled helpers that a function calls, and of those that they call."""
    files: set[str] = set()
    for name in function.__code__.co_names:
        helper = getattr(function.__globals__.get(name), "py_func", None)
        if helper is not None:
            files |= {helper.__code__.co_filename} | _lenders(helper)
    return files


def inline(function: F) -> F:
    """Compile a helper that kernels call; it has no entry of its own."""
    return cast(F, numba.njit(inline="always", error_model="numpy")(function))


def record(dtype: Any, packed: bool = False) -> Any:
    """Return the Numba type of an array of NumPy records: contiguous, or one field of packed rows."""
    return numba.from_dtype(dtype)[:] if packed else numba.from_dtype(dtype)[::1]
