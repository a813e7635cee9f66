"""Background jobs of the embedded server, each a process of its own at low priority: archive, snapshot, train."""

from __future__ import annotations

import asyncio
import logging
import sys
import time

from nearline.embedded.engine import Engine
from nearline.embedded.refreshing import refreshing
from nearline.schema.clock import MINUTE
from nearline.schema.errors import StoreUnavailableError

logger = logging.getLogger("nearline.jobs")
LOOK = 1.0
"""Seconds between looks at what is due and at the release in service."""


class Jobs:
    """Starts `nearline maintain` and `nearline train` when due (not without `server.jobs`), and swaps to the current release.

    Args:
        engine: whose.
        arguments: the command line options that name application and settings.
    """

    def __init__(self, engine: Engine, arguments: list[str]) -> None:
        self._engine, self._arguments = engine, arguments
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        train = engine.settings.train
        self._train_every = train.every_ms / 1e3
        self._maintain_every = engine.settings.state.snapshot_every_minutes * MINUTE / 1e3
        self._own = engine.settings.server.jobs
        self._next = {"maintain": time.time() + self._maintain_every} if self._own else {}
        if self._train_every and self._own:
            release = engine.release
            age = (engine.clock.now() - release.manifest.created_at) / 1e3 if release else 0.0
            self._next["train"] = time.time() + max(60.0, self._train_every - age)
        self._trained_at = engine.world.state.offset
        self._failures = 0
        self._refused = ""
        engine.jobs.update(
            nearline_train_last_timestamp_seconds=0.0,
            nearline_train_next_timestamp_seconds=self._next.get("train", 0.0),
            nearline_train_last_failed=0.0,
            nearline_train_failures_total=0.0,
        )

    async def run(self) -> None:
        """Look every second, until cancelled; then end what is running."""
        end = refreshing(self._engine.tenant.releases)
        try:
            while True:
                await asyncio.sleep(LOOK)
                try:
                    await self._look()
                except Exception:
                    # A release that can't be loaded or a process that can't be started must not end the other jobs.
                    logger.exception("looking for jobs failed")
        finally:
            end()
            for process in self._running.values():
                if process.returncode is None:
                    process.terminate()
            # They let go of lake and snapshots before the engine saves its own.
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _look(self) -> None:
        engine, now = self._engine, time.time()
        current = engine.tenant.releases.current()
        if current not in ("", engine.recommender.pipeline.release, self._refused):
            self._refused = current
            if await engine.reload() == current:
                self._refused = ""
                self._postpone()
        after = engine.settings.train.after_events if self._own else 0
        if after and engine.world.state.offset - self._trained_at >= after:
            self._next["train"] = now
            self._trained_at = engine.world.state.offset
        for name, due in list(self._next.items()):
            if now >= due and name not in self._running:
                self._start(name)

    def _postpone(self) -> None:
        """Train only when the release in service is as old as the settings say, whichever server trained it."""
        release = self._engine.release
        if "train" in self._next and self._train_every and release is not None:
            age = (self._engine.clock.now() - release.manifest.created_at) / 1e3
            self._next["train"] = max(self._next["train"], time.time() + self._train_every - age)

    def _start(self, name: str) -> None:
        every = self._maintain_every if name == "maintain" else self._train_every
        if every:
            self._next[name] = time.time() + every
        else:
            self._next.pop(name)
        task = asyncio.create_task(self._job(name))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _job(self, name: str) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "nearline.cli", name, *self._arguments, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        self._running[name] = process
        try:
            output, _ = await process.communicate()
        finally:
            self._running.pop(name, None)
        failed = process.returncode != 0
        say = logger.warning if failed else logger.info
        say(f"{name} ended", extra={"returncode": process.returncode, "output": output.decode(errors="replace")[-2000:]})
        if name == "maintain" and not failed:
            try:
                await self._engine.trim()
            except StoreUnavailableError as error:
                logger.warning("the log is not trimmed this time", extra={"error": str(error)})
        if name == "train":
            self._failures += failed
            self._engine.jobs.update(
                nearline_train_last_timestamp_seconds=time.time(),
                nearline_train_next_timestamp_seconds=self._next.get("train", 0.0),
                nearline_train_last_failed=float(failed),
                nearline_train_failures_total=float(self._failures),
            )
