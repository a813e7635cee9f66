"""A network between a client and a server of loopback, that can be slow or gone: a TCP proxy in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path

from engines.process import ServerProcess, free_ports, listens

CHUNK = 1 << 16


class Proxy(ServerProcess):
    """Passes on what comes, until told otherwise.

    Args:
        target: port of the server.
        folder: for its output.
    """

    def __init__(self, target: int, folder: Path) -> None:
        (self.port,) = free_ports(1)
        # Run as a file: the package would be found only from the checkout's root.
        run = [sys.executable, str(Path(__file__).absolute()), str(self.port), str(target)]
        root = str(Path(__file__).parents[1])
        super().__init__(run, folder, "proxy", lambda: listens(self.port), {"PYTHONPATH": root})

    def slow(self, seconds: float) -> None:
        """Have everything take so much longer, each way."""
        self._say(f"slow {seconds}")

    def cut(self) -> None:
        """Let nothing through any more, and say nothing: packets are dropped."""
        self._say("cut")

    def mend(self) -> None:
        """Let everything through again; connections that were cut are reset."""
        self._say("mend")

    def _say(self, line: str) -> None:
        assert self._process is not None
        os.write(self._process.stdin.fileno(), f"{line}\n".encode())  # type: ignore[union-attr]


class _Network:
    """What the process does."""

    def __init__(self, target: int) -> None:
        self._target, self._delay, self._whole = target, 0.0, asyncio.Event()
        self._whole.set()
        self._connections: set[asyncio.StreamWriter] = set()

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._whole.wait()
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        self._connections |= {writer, back}
        await asyncio.gather(self._pass(reader, back), self._pass(there, writer))
        self._connections -= {writer, back}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                if self._delay:
                    await asyncio.sleep(self._delay)
                await self._whole.wait()
                writer.write(data)
                await writer.drain()
        writer.close()

    async def obey(self) -> None:
        """Do what is said on the standard input, until it ends."""
        lines = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        while line := await lines.readline():
            word, _, number = line.decode().strip().partition(" ")
            if word == "cut":
                self._whole.clear()
            elif word == "slow":
                self._delay = float(number)
            else:
                for writer in self._connections:
                    writer.transport.abort()
                self._delay = 0.0
                self._whole.set()


async def _run(port: int, target: int) -> None:
    network = _Network(target)
    async with await asyncio.start_server(network.connect, "127.0.0.1", port):
        await network.obey()


if __name__ == "__main__":
    asyncio.run(_run(int(sys.argv[1]), int(sys.argv[2])))
