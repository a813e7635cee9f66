"""The `nearline` command."""

from __future__ import annotations

import os

# One thread for each small matrix product: a request never waits for a pool, and training uses processes.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

from nearline.cli.main import main  # noqa: E402

__all__ = ["main"]
