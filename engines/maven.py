"""Jars of engines from Maven, fetched once for all checkouts."""

from __future__ import annotations

import shutil
import subprocess
import uuid
from pathlib import Path

from engines.process import home


def missing(name: str) -> str:
    """Return "" where an engine is fetched or can be, and can run; else what it needs.

    Args:
        name: with its version, such as "kafka-4.4.0".
    """
    wanted = ["java"] if (home() / name).exists() else ["java", "mvn"]
    lacking = [program for program in wanted if shutil.which(program) is None]
    return f"needs {' and '.join(lacking)} (OpenJDK 17 or newer)" if lacking else ""


def fetched(name: str, pom: str) -> Path:
    """Return the folder of an engine's jars, which Maven fetches where they are not here yet.

    Args:
        name: as of `missing`.
        pom: the file in `engines/` that lists them.
    """
    folder = home() / name
    if not folder.exists():
        draft = home() / f"{name}-{uuid.uuid4().hex}"
        file = Path(__file__).with_name(pom)
        command = ["mvn", "-B", "-q", "-f", str(file), "dependency:copy-dependencies", f"-DoutputDirectory={draft}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode:
            shutil.rmtree(draft, ignore_errors=True)
            raise RuntimeError(f"{name} can't be fetched by Maven:\n{(done.stdout + done.stderr)[-2000:]}")
        if folder.exists():
            shutil.rmtree(draft)  # another process was quicker
        else:
            draft.rename(folder)
    return folder
