"""Flink: an environment of its own, since it pins older packages than ours, with its Kafka connector from Maven."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

from engines.process import home

VERSION = "2.3.0"
CONNECTOR = "org.apache.flink:flink-sql-connector-kafka:5.0.0-2.2"
ROOT = Path(__file__).resolve().parents[1]


def available() -> str:
    """Return "" where Flink can be installed and run, else what is missing."""
    needed = ["java", "uv"] if (environment() / "ready").exists() else ["java", "mvn", "uv"]
    missing = [name for name in needed if _where(name) is None]
    return f"needs {' and '.join(missing)} (OpenJDK 17, Maven; uv: pip install uv)" if missing else ""


def environment() -> Path:
    """Return the folder of the environment, for `nearline stream --engine flink --flink FOLDER`."""
    return home() / f"flink-{VERSION}-py{sys.version_info.major}.{sys.version_info.minor}"


def install() -> Path:
    """Make the environment, once; return its folder. This checkout's code runs in it, with compilers as they are here."""
    ready, python = environment() / "ready", environment() / "bin" / "python"
    pip = ["uv", "pip", "install", "-q", "--python", str(python)]
    if not ready.exists():
        # Its scripts and its jars are found by absolute paths: it is made where it stays.
        shutil.rmtree(environment(), ignore_errors=True)
        same = [f"{name}=={importlib.metadata.version(name)}" for name in ("numba", "llvmlite")]
        _run(["uv", "venv", "-q", "--python", sys.executable, str(environment())])
        _run([*pip, f"apache-flink=={VERSION}", *same, "--editable", f"{ROOT}[flink]"])
        (jars,) = environment().glob("lib/python3*/site-packages/pyflink/lib")
        _run(["mvn", "-B", "-q", "dependency:copy", f"-Dartifact={CONNECTOR}", f"-DoutputDirectory={jars}"])
    elif ready.read_text() != str(ROOT):
        _run([*pip, "--no-deps", "--editable", str(ROOT)])  # made by another checkout
    ready.write_text(str(ROOT))
    return environment()


def _where(name: str) -> str | None:
    """Return a program of this interpreter's environment, which need not be activated, or of the path."""
    return shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)


def _run(command: list[str]) -> None:
    command = [_where(command[0]) or command[0], *command[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise RuntimeError(f"Flink {VERSION} can't be installed ({command[0]}):\n{(done.stdout + done.stderr)[-2000:]}")


if __name__ == "__main__":
    print(install())
