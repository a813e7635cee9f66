"""`stream --engine flink`: the command goes on in Flink's own environment, whose packages are others than ours."""

from __future__ import annotations

import importlib.util
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from nearline.app.tenant import Tenant
from nearline.cli.options import arguments_of
from nearline.schema.errors import NearlineError
from nearline.stores.adapters import scheme_of

CONNECTOR = "flink-sql-connector-kafka"
ARTIFACT = f"org.apache.flink:{CONNECTOR}:5.0.0-2.2"
FOLDER = "flink"
"""In a tenant's folder: checkpoints and savepoints."""


def run(
    tenant: Tenant,
    app: Path,
    config: Path | None,
    parallelism: int,
    environment: Path | None,
    announce: Callable[[Tenant], None],
) -> None:
    """Run the job until Ctrl-C or SIGTERM.

    Raises:
        NearlineError: the log is not on Kafka, or Flink or its connector is not installed where we look.
    """
    if scheme_of(tenant.settings.storage.log) != "kafka":
        raise NearlineError("storage.log", tenant.settings.storage.log, "name a log on Kafka; Flink reads no other of ours")
    found = importlib.util.find_spec("pyflink")
    if found is None or found.origin is None:
        python = _python(environment)
        options = [*arguments_of(app, config), "--engine", "flink", "--parallelism", str(parallelism)]
        # This process becomes that one: whoever started it stops, kills and waits for the same.
        os.execv(python, [str(python), "-m", "nearline.cli", "stream", *options])
    jars = Path(found.origin).parent / "lib"
    if not list(jars.glob(f"{CONNECTOR}-*.jar")):
        remedy = f"fetch it: mvn dependency:copy -Dartifact={ARTIFACT} -DoutputDirectory={jars}"
        raise NearlineError(str(jars), f"no {CONNECTOR}", remedy)
    from nearline.stream.flink import FlinkPlace, run_job

    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    announce(tenant)
    run_job(tenant, FlinkPlace(app.resolve(), parallelism, tenant.folder.absolute() / FOLDER), ending)


def _python(environment: Path | None) -> Path:
    """Return the interpreter of Flink's environment."""
    remedy = (
        "make it, apart from this one, whose packages are newer: python -m venv FOLDER; "
        'FOLDER/bin/pip install "nearline[flink]"; then name it by --flink FOLDER or FLINK_ENVIRONMENT=FOLDER'
    )
    if environment is None:
        raise NearlineError("--flink", "no environment with apache-flink", remedy)
    python = environment.absolute() / "bin" / "python"
    if not python.exists() or not list(environment.glob("lib/python3*/site-packages/pyflink")):
        raise NearlineError("--flink", str(environment), f"there is no apache-flink: {remedy}")
    return python
