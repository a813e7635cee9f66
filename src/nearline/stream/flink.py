"""A stream job on Flink: it reads Kafka, keeps the places and restarts; batches of messages are folded by our code.

Imported in Flink's own environment alone, where `pyflink` is.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyflink.common import Configuration
from pyflink.java_gateway import get_gateway
from pyflink.table import DataTypes, EnvironmentSettings, Schema, TableDescriptor, TableEnvironment
from pyflink.table.expressions import col
from pyflink.table.udf import udf

from nearline.app.tenant import Tenant
from nearline.schema.errors import NearlineError
from nearline.stores.kafka.topics import OWN, configured
from nearline.stores.open_log import LogPlace
from nearline.stream.flink_function import FoldEvents
from nearline.stream.worker import GROUP

logger = logging.getLogger("nearline.stream")
LOGS = "FLINK_LOG_DIR"
"""Variable that says where Flink writes its log; else into its installation, over that of another job."""
MODE = "_python_worker_execution_mode"
"""Variable by which PyFlink is told to give each worker a process; else all are threads of this one."""
LOOK = 0.2
"""Seconds between two looks at whether the job is to end."""
BATCH = 5_000
"""Events that are handed over at a time, at most."""
GATHER = 50
"""Milliseconds for which events are gathered."""
CHECKPOINT = "2 s"
"""Time between two checkpoints; after a crash so much is read again, and found in the rows."""
PATIENCE = 60
"""Seconds that a savepoint may take when the job ends."""
RUNNING = {"INITIALIZING", "CREATED", "RUNNING", "FAILING", "RESTARTING", "RECONCILING"}


@dataclass(frozen=True, slots=True)
class FlinkPlace:
    """How the job runs.

    Attributes:
        app: file of the application.
        parallelism: workers; no more than partitions have something to do.
        folder: where checkpoints and savepoints are kept.
    """

    app: Path
    parallelism: int
    folder: Path


def run_job(tenant: Tenant, place: FlinkPlace, ending: threading.Event) -> None:
    """Run the job in a cluster of this process until it is told to end; then it leaves a savepoint.

    Started again, it goes on from its newest savepoint or checkpoint, else from what its group committed to the broker.

    Raises:
        NearlineError: the log's URL holds settings that Flink's client has other names for.
        RuntimeError: the job failed.
    """
    settings, names = configured(LogPlace(tenant.settings.storage.log, tenant.folder, tenant.name))
    topic = names["user_events"]
    if others := sorted(settings.keys() - {"bootstrap.servers", *OWN}):
        remedy = "Flink's Kafka client has other names for such settings; give brokers alone"
        raise NearlineError("storage.log", others, remedy)
    tenant.log().close()  # makes the topics
    os.environ[MODE] = "process"
    os.environ.setdefault(LOGS, str(place.folder / "log"))
    Path(os.environ[LOGS]).mkdir(parents=True, exist_ok=True)
    config = Configuration()
    for name, value in _options(place).items():
        config.set_string(name, value)
    env = TableEnvironment.create(EnvironmentSettings.new_instance().in_streaming_mode().with_configuration(config).build())
    columns = Schema.new_builder().column("message", DataTypes.BYTES())
    columns = columns.column_by_metadata("partition", DataTypes.INT(), is_virtual=True)
    columns = columns.column_by_metadata("offset", DataTypes.BIGINT(), is_virtual=True)
    columns = columns.column_by_metadata("timestamp", DataTypes.TIMESTAMP_LTZ(3), is_virtual=True)
    events = TableDescriptor.for_connector("kafka").schema(columns.build()).format("raw")
    for name, value in {
        "topic": topic,
        "properties.bootstrap.servers": str(settings["bootstrap.servers"]),
        "properties.group.id": f"{topic.removesuffix('.user_events')}.{GROUP}",
        "properties.auto.offset.reset": "earliest",
        "properties.fetch.max.wait.ms": "20",
        "scan.startup.mode": "group-offsets",
    }.items():
        events = events.option(name, value)
    env.create_temporary_table("events", events.build())
    done = Schema.new_builder().column("offset", DataTypes.BIGINT()).build()
    env.create_temporary_table("folded", TableDescriptor.for_connector("blackhole").schema(done).build())
    fold = udf(
        FoldEvents(place.app, tenant.settings, tenant.name),
        result_type=DataTypes.BIGINT(),
        func_type="pandas",
    )
    read = env.from_path("events")
    batches = read.select(fold(col("partition"), col("offset"), col("timestamp"), col("message")).alias("offset"))
    try:
        job, before = batches.execute_insert("folded").get_job_client(), ""
        while not ending.wait(LOOK):
            if (status := job.get_job_status().result().name) not in RUNNING:
                job.get_job_execution_result().result()  # tells why
                raise RuntimeError(f"the job ended by itself: {status}")
            if status != before:
                logger.info("job is %s", status.lower(), extra={"log": os.environ[LOGS]})
                before = status
        _stop(job, place.folder / "savepoints")
    finally:
        get_gateway().shutdown()  # else its threads keep this process


def _stop(job: Any, folder: Path) -> None:
    """Let the job leave a savepoint and end; where it can't, it goes on from its newest checkpoint when it is started again."""
    # pyflink's own `stop_with_savepoint` calls what Flink 2 has no more.
    jvm = get_gateway().jvm
    form = jvm.org.apache.flink.core.execution.SavepointFormatType.CANONICAL
    try:
        left = job._j_job_client.stopWithSavepoint(False, folder.as_uri(), form)
        left.get(PATIENCE, jvm.java.util.concurrent.TimeUnit.SECONDS)
    except Exception as error:  # its store is away, or it is restarting
        logger.warning("the job left no savepoint", extra={"error": str(error)[:500]})


def _options(place: FlinkPlace) -> Mapping[str, str]:
    options = {
        "parallelism.default": str(place.parallelism),
        "table.local-time-zone": "UTC",
        "python.executable": sys.executable,
        "python.client.executable": sys.executable,
        "python.fn-execution.bundle.size": str(BATCH),
        "python.fn-execution.bundle.time": str(GATHER),
        "python.fn-execution.arrow.batch.size": str(BATCH),
        "execution.checkpointing.interval": CHECKPOINT,
        "execution.checkpointing.dir": (place.folder / "checkpoints").as_uri(),
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "execution.state-recovery.ignore-unclaimed-state": "true",
        "restart-strategy.type": "exponential-delay",
    }
    if (newest := _newest(place.folder)) is not None:
        options["execution.state-recovery.path"] = newest.as_uri()
    return options


def _newest(folder: Path) -> Path | None:
    """Return the newest checkpoint or savepoint, and remove those of earlier runs."""
    found = sorted((file for file in folder.glob("*/**/_metadata")), key=lambda file: file.stat().st_mtime)
    for old in found[:-1]:
        shutil.rmtree(old.parent, ignore_errors=True)
    return found[-1].parent if found else None
