"""HDFS: a name node and a data node, from Maven."""

from __future__ import annotations

import subprocess
import urllib.request
import uuid
from collections.abc import Mapping
from pathlib import Path

from engines import maven
from engines.process import ServerProcess, free_ports

VERSION = "3.4.1"
JAVA = ("java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "--add-opens=java.base/java.lang=ALL-UNNAMED")
LOGGING = """
log4j.rootLogger=WARN, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%p %c: %m%n
"""
STATE = "jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState"
SERVER = "org.apache.hadoop.hdfs.server"


def available() -> str:
    """Return "" where HDFS can be installed and run, else what is missing."""
    return maven.missing(f"hadoop-{VERSION}")


class Hdfs:
    """One name node and one data node on loopback; each block is kept once."""

    environment: Mapping[str, str] = {}

    def __init__(self, folder: Path) -> None:
        jars = maven.fetched(f"hadoop-{VERSION}", "hdfs.xml")
        rpc, self.port, *others = free_ports(5)
        names = ("datanode.address", "datanode.http.address", "datanode.ipc.address")
        own = {f"dfs.{name}": f"127.0.0.1:{port}" for name, port in zip(names, others, strict=True)}
        own |= {"dfs.namenode.rpc-address": f"127.0.0.1:{rpc}", "dfs.namenode.http-address": f"127.0.0.1:{self.port}"}
        own |= {"dfs.replication": "1", "dfs.permissions.enabled": "false", "dfs.datanode.hostname": "127.0.0.1"}
        # A file is complete once its data node has told of its block; asked for again sooner than the default of 0.4 s.
        own |= {"dfs.client.block.write.locateFollowingBlock.initial.delay.ms": "10"}
        for page in ("hdfs", "datanode"):  # of their web pages, which are not in the jars, the folders must be there
            (folder / "webapps" / page).mkdir(parents=True)
        _write(folder / "core-site.xml", {"fs.defaultFS": f"hdfs://127.0.0.1:{rpc}", "hadoop.tmp.dir": str(folder / "data")})
        _write(folder / "hdfs-site.xml", own)
        (folder / "log4j.properties").write_text(LOGGING)
        run = [*JAVA, "-cp", f"{folder}:{jars}/*"]
        form = [*run, f"{SERVER}.namenode.NameNode", "-format", "-nonInteractive"]
        subprocess.run(form, check=True, capture_output=True, stdin=subprocess.DEVNULL)
        self.names = ServerProcess([*run, f"{SERVER}.namenode.NameNode"], folder, "namenode", lambda: self._says("NumLive"))
        self.data = ServerProcess(
            [*run, f"{SERVER}.datanode.DataNode"], folder, "datanode", lambda: self._says('"NumLiveDataNodes" : 1')
        )

    def start(self) -> None:
        """Start both."""
        self.names.start()
        self.data.start()

    def remove(self) -> None:
        """End both."""
        self.data.kill()
        self.names.kill()

    def place(self) -> str:
        """Return the URL of a folder where nothing is yet."""
        return f"hdfs://nearline@127.0.0.1:{self.port}/{uuid.uuid4().hex[:8]}"

    def empty(self, place: str) -> None:
        """Lose a folder."""
        path = place.rpartition("/")[2]
        url = f"http://127.0.0.1:{self.port}/webhdfs/v1/{path}?op=DELETE&recursive=true"
        with urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=30):
            pass

    def _says(self, text: str) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{STATE}", timeout=5) as answer:
                return text in answer.read().decode()
        except OSError:
            return False


def _write(file: Path, settings: Mapping[str, str]) -> None:
    lines = [f"<property><name>{name}</name><value>{value}</value></property>" for name, value in settings.items()]
    file.write_text("\n".join(["<configuration>", *lines, "</configuration>"]))
