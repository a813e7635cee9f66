"""The request thread: one hop per request, watched from the event loop.

The loop hands runs to one worker thread. A component that raises is counted by the pipeline; one that hangs is found here:
its thread is abandoned, and a new thread goes on with the next step of the same run. At the total budget the loop
answers from what is there. Code that holds the GIL for ever is out of reach.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from queue import SimpleQueue

from nearline.pipeline.pipeline import Pipeline
from nearline.pipeline.run import Run

logger = logging.getLogger("nearline.worker")
TICK = 0.004
MOST_LOST = 32


class Job:
    """A run with the pipeline that takes it and the future that waits for it."""

    __slots__ = ("done", "future", "pipeline", "run")

    def __init__(self, run: Run, pipeline: Pipeline, future: asyncio.Future[Run]) -> None:
        self.run, self.pipeline, self.future, self.done = run, pipeline, future, False


class Worker:
    """One thread that advances runs in turn.

    Args:
        loop: where futures are resolved.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._waiting: dict[int, Job] = {}
        self._finished: deque[tuple[Job, BaseException | None]] = deque()
        self._delivering = False
        self._ticking = False
        self._active: Job | None = None
        self.lost = 0
        self._start(None)

    def _start(self, first: Job | None) -> None:
        threading.Thread(target=self._work, args=(first,), name="nearline-requests", daemon=True).start()

    def submit(self, run: Run, pipeline: Pipeline) -> asyncio.Future[Run]:
        """Queue a run; the future gives it back when finished.

        A run that can't finish within its budget comes back without a ranked list: the caller falls back.
        """
        job = Job(run, pipeline, self._loop.create_future())
        self._waiting[id(job)] = job
        self._queue.put(job)
        if not self._ticking and run.query.limits:
            self._ticking = True
            self._loop.call_later(TICK, self._tick)
        return job.future

    def close(self) -> None:
        """End the thread after what is queued."""
        self._queue.put(None)

    def _work(self, first: Job | None) -> None:
        job = first or self._queue.get()
        while job is not None:
            if not job.done:
                run, error = job.run, None
                self._active = job
                try:
                    if not job.pipeline.advance(run):
                        return
                except Exception as failure:
                    error = failure
                if run.abandoned:
                    return
                self._active = None
                self._finished.append((job, error))
                if not self._delivering:
                    self._delivering = True
                    self._loop.call_soon_threadsafe(self._deliver)
            job = self._queue.get()

    def _deliver(self) -> None:
        self._delivering = False
        while self._finished:
            job, error = self._finished.popleft()
            if error is not None:
                logger.error("request failed", exc_info=error)
                job.run.ranked = None
            self._resolve(job)

    def _resolve(self, job: Job) -> None:
        job.done = True
        self._waiting.pop(id(job), None)
        if not job.future.done():
            job.future.set_result(job.run)

    def _tick(self) -> None:
        """Look for a step that hangs, and for runs that are out of time."""
        now = time.monotonic()
        active = self._active
        if active is not None and active.run.query.limits:
            run, limits = active.run, active.pipeline.limits
            held = now - run.step_started if run.step_started else 0.0
            # A new stage may spend its slice; what is left of the total must still let the rest of the stages work.
            if held > limits.patience * limits.of(run.stage) or (held and now - run.started > limits.total):
                self._abandon(active)
        for job in list(self._waiting.values()):
            limits = job.pipeline.limits
            if job.run.query.limits and now - job.run.started > limits.total:
                self._resolve(job)
        if self._waiting:
            self._loop.call_later(TICK, self._tick)
        else:
            self._ticking = False

    def _abandon(self, job: Job) -> None:
        run = job.run
        step = job.pipeline.steps[run.step]
        if self.lost >= MOST_LOST:
            return
        if run.step_started == 0.0 or run.abandoned:
            return
        fork = run.fork()
        self.lost += 1
        job.pipeline.breakers.failed(step.name)
        logger.warning("component hangs", extra={"component": step.name})
        fork.missing.append(step.name)
        job.done = True
        again = Job(fork, job.pipeline, job.future)
        self._waiting.pop(id(job), None)
        self._waiting[id(again)] = again
        self._active = again
        self._start(again)
