"""What the system's packages bring: installed where it is not there and this user may."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache

PATIENCE = 300
"""Seconds for an installation."""


@cache
def installed(program: str, package: str) -> bool:
    """Return whether a program is there, after an attempt to install it where it is not."""
    if not shutil.which(program) and os.geteuid() == 0 and shutil.which("apt-get"):
        for command in (["install", "-y", "--no-install-recommends", package], ["update"]) * 2:
            if shutil.which(program):
                break
            subprocess.run(["apt-get", *command], capture_output=True, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL)
    return shutil.which(program) is not None
