"""MySQL: one server of its protocol, MariaDB or MySQL, whichever the system has; where it has none, apt brings MariaDB."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import uuid
from pathlib import Path

import pymysql

from engines.process import ServerProcess, free_ports

PACKAGE = "mariadb-server"
SEARCH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))


def available() -> str:
    """Return "" where a server can run, else what is missing."""
    if _program("mariadbd") or _program("mysqld") or (os.geteuid() == 0 and _program("apt-get")):
        return ""
    return f"needs a server: apt install {PACKAGE}"


def install() -> None:
    """Install a server where there is none; it is not started as a service."""
    if _program("mariadbd") or _program("mysqld"):
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", PACKAGE]):
        done = subprocess.run(["apt-get", *words], capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(f"{PACKAGE} can't be installed:\n{(done.stdout + done.stderr)[-2000:]}")


def _program(name: str) -> str | None:
    return shutil.which(name, path=SEARCH)


class Mysql(ServerProcess):
    """A server on loopback, whose root needs no password; it keeps its data and its port over restarts."""

    def __init__(self, folder: Path) -> None:
        install()
        (self.port,) = free_ports(1)
        data, user, socket = folder / "data", getpass.getuser(), f"/tmp/nearline-{uuid.uuid4().hex[:8]}.sock"
        program = _program("mariadbd") or _program("mysqld")
        assert program is not None
        if maker := _program("mariadb-install-db"):
            form = [maker, "--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]
        else:
            form = [program, "--no-defaults", "--initialize-insecure"]
        done = subprocess.run([*form, f"--datadir={data}", f"--user={user}"], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{form[0]} failed:\n{done.stdout}{done.stderr}")
        command = [program, "--no-defaults", f"--datadir={data}", f"--user={user}", f"--port={self.port}"]
        command += ["--bind-address=127.0.0.1", f"--socket={socket}", f"--pid-file={folder / 'mysql.pid'}"]
        super().__init__([*command, "--innodb-buffer-pool-size=64M", "--skip-log-bin"], folder, "mysql", self._ready)

    def place(self) -> str:
        """Return the URL of a new database."""
        name = f"d{uuid.uuid4().hex[:8]}"
        self._say(f"CREATE DATABASE {name}")
        return f"mysql://root@127.0.0.1:{self.port}/{name}"

    def empty(self, place: str) -> None:
        """Lose all rows of visitors in a database."""
        database = place.rpartition("/")[2]
        for table in ("nearline_rows", "nearline_progress"):
            self._say(f"TRUNCATE {database}.{table}")

    def _say(self, statement: str) -> None:
        with pymysql.connect(host="127.0.0.1", port=self.port, user="root", connect_timeout=10) as connection:
            connection.query(statement)

    def _ready(self) -> bool:
        try:
            self._say("SELECT 1")
        except pymysql.Error:
            return False
        return True
