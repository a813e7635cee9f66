"""Kafka: one broker that is its own controller (KRaft), from Maven."""

from __future__ import annotations

import subprocess
import uuid
from pathlib import Path

from engines import maven
from engines.process import ServerProcess, free_ports, home, listens

VERSION = "4.4.0"
JAVA = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""Its optimizing compiler takes more from a broker that lives for minutes, on few cores, than it gives."""
PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
"""


def available() -> str:
    """Return "" where Kafka can be installed and run, else what is missing."""
    return maven.missing(f"kafka-{VERSION}")


def libraries() -> Path:
    """Return the folder of the broker's jars."""
    return home() / f"kafka-{VERSION}"


class Kafka(ServerProcess):
    """A broker with its data in a folder; it keeps its port over restarts."""

    def __init__(self, folder: Path) -> None:
        jars = maven.fetched(f"kafka-{VERSION}", "kafka.xml")
        self.port, controller = free_ports(2)
        data, properties = folder / "data", folder / "server.properties"
        folder.mkdir(parents=True, exist_ok=True)
        properties.write_text(PROPERTIES.format(port=self.port, controller=controller, data=data))
        run = ["java", *JAVA, "-Dlog4j2.level=WARN", "-cp", f"{jars}/*"]
        if not data.exists():
            form = [*run, "kafka.tools.StorageTool", "format", "-t", uuid.uuid4().hex[:22], "-c", str(properties)]
            subprocess.run(form, check=True, capture_output=True, stdin=subprocess.DEVNULL)
        super().__init__([*run, "kafka.Kafka", str(properties)], folder, "kafka", lambda: listens(self.port))

    @property
    def url(self) -> str:
        """For `[storage] log`."""
        return f"kafka://127.0.0.1:{self.port}"
