"""Cassandra: one node, from Maven."""

from __future__ import annotations

import uuid
from pathlib import Path

from cassandra.cluster import Cluster

from engines import maven
from engines.process import ServerProcess, free_ports, listens

VERSION = "5.0.4"
OPENED = [
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.lang.reflect",
    "java.base/java.nio",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.util.jar",
    "java.base/sun.nio.ch",
    "jdk.management/com.sun.management.internal",
]
EXPORTED = [
    "java.base/java.lang.ref",
    "java.base/jdk.internal.misc",
    "java.base/jdk.internal.ref",
    "java.base/sun.nio.ch",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
    "jdk.unsupported/sun.misc",
]
"""Both as in Cassandra's own options for Java 17."""
JAVA = ["java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djdk.attach.allowAttachSelf=true"]
JAVA += [f"--add-opens={name}=ALL-UNNAMED" for name in OPENED]
JAVA += [f"--add-exports={name}=ALL-UNNAMED" for name in EXPORTED]
JAVA += ["-Dcassandra.ring_delay_ms=1000", "-Dcassandra.skip_wait_for_gossip_to_settle=0", "-Dcassandra-foreground=yes"]
SETTINGS = """
cluster_name: nearline
num_tokens: 1
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
data_file_directories: [{folder}/data]
commitlog_directory: {folder}/commitlog
saved_caches_directory: {folder}/caches
hints_directory: {folder}/hints
commitlog_sync: batch
endpoint_snitch: SimpleSnitch
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [{{seeds: "127.0.0.1:{storage}"}}]
listen_address: 127.0.0.1
rpc_address: 127.0.0.1
storage_port: {storage}
native_transport_port: {port}
auto_snapshot: false
"""
LOGGING = """<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%level %logger{0} %msg%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="out"/></root>
</configuration>
"""
KEYSPACE = "CREATE KEYSPACE {} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}"


def available() -> str:
    """Return "" where Cassandra can be installed and run, else what is missing."""
    return maven.missing(f"cassandra-{VERSION}")


class Cassandra(ServerProcess):
    """A node with its data in a folder; it keeps its port over restarts, and what it has acknowledged."""

    def __init__(self, folder: Path) -> None:
        jars = maven.fetched(f"cassandra-{VERSION}", "cassandra.xml")
        self.port, storage = free_ports(2)
        folder.mkdir(parents=True, exist_ok=True)
        settings, logging = folder / "cassandra.yaml", folder / "logback.xml"
        settings.write_text(SETTINGS.format(folder=folder, port=self.port, storage=storage))
        logging.write_text(LOGGING)
        run = [*JAVA, f"-Dcassandra.config=file://{settings}", f"-Dlogback.configurationFile={logging}"]
        run += [f"-Dcassandra.storagedir={folder}", "-cp", f"{jars}/*", "org.apache.cassandra.service.CassandraDaemon"]
        super().__init__(run, folder, "cassandra", lambda: listens(self.port))

    def place(self) -> str:
        """Return the URL of a new keyspace."""
        name = f"k{uuid.uuid4().hex[:8]}"
        self._say(KEYSPACE.format(name))
        return f"cassandra://127.0.0.1:{self.port}/{name}"

    def empty(self, place: str) -> None:
        """Lose all rows of visitors in a keyspace."""
        keyspace = place.rpartition("/")[2]
        for table in ("user_rows", "progress"):
            self._say(f"TRUNCATE {keyspace}.{table}")

    def _say(self, statement: str) -> None:
        with Cluster(["127.0.0.1"], port=self.port, connect_timeout=30, control_connection_timeout=30) as cluster:
            cluster.connect().execute(statement, timeout=60)
