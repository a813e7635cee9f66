"""The request thread: one hop per request, watched from the event loop.

The loop hands runs to one worker thread. A component that raises is counted by the pipeline; one that hangs is found here:
its thread is abandoned, and a new thread goes on with the next step of the same run. At the total budget the loop
answers from what is there, and the thread drops the run after its step. Code that holds the GIL for ever is out of reach.
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
"""Threads that may hang at once; breakers stop each component long before."""


class Job:
    """A run with the pipeline that takes it and the future that waits for it."""

    __slots__ = ("done", "future", "pipeline", "run")

    def __init__(self, run: Run, pipeline: Pipeline, future: asyncio.Future[Run]) -> None:
        self.run, self.pipeline, self.future, self.done = run, pipeline, future, False


class Worker:
    """One thread that advances runs in turn.

    Attributes:
        lost: threads abandoned in a step that has not returned yet.

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
        # Under the lock: whose turn it is to work, on which job, and the step that each abandoned thread hangs in.
        self._lock = threading.Lock()
        self._turn = 0
        self._active: Job | None = None
        self._stuck: dict[int, str] = {}
        self._suspect = 0.0
        self._start(None)

    @property
    def lost(self) -> int:
        """Number of threads that hang now."""
        return len(self._stuck)

    @property
    def busy(self) -> bool:
        """Whether a request waits or is under way."""
        return bool(self._waiting)

    def _start(self, first: Job | None) -> None:
        arguments = (first, self._turn)
        threading.Thread(target=self._work, args=arguments, name="nearline-requests", daemon=True).start()

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

    def _work(self, first: Job | None, turn: int) -> None:
        job = first or self._queue.get()
        while job is not None:
            error = None
            self._active = job
            if not job.done:
                try:
                    job.pipeline.advance(job.run)
                except Exception as failure:
                    error = failure
            with self._lock:
                if self._turn != turn:
                    job.pipeline.breakers.returned(self._stuck.pop(turn))
                    return
                self._active = None
            if not job.done:
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
        try:
            self._watch()
        except Exception:
            logger.exception("watching failed")
        # A job that was answered for may still hold the thread.
        if self._waiting or self._active is not None:
            self._loop.call_later(TICK, self._tick)
        else:
            self._ticking = False

    def _watch(self) -> None:
        now, active = time.monotonic(), self._active
        if active is not None and active.run.query.limits:
            run, limits = active.run, active.pipeline.limits
            place, started, steps = run.step, run.step_started, active.pipeline.plan(run.query)
            if started and now - started > limits.patience * active.pipeline.slice_of(steps[min(place, len(steps) - 1)]):
                # Seen twice: after a stall of the whole process the first look finds innocent steps.
                if self._suspect == started:
                    self._abandon(active, place, started)
                self._suspect = started
        for job in list(self._waiting.values()):
            if job.run.query.limits and now - job.run.started > job.pipeline.limits.total:
                self._give_up(job)

    def _give_up(self, job: Job) -> None:
        """Answer from what is there; the thread, where it is on this run, drops it after its step."""
        # What it waits for: its own step under way, or where it has not begun, that of the run before it.
        active = self._active or job
        run, steps = active.run, active.pipeline.plan(active.run.query)
        place, begun = run.step, run.step_started > 0
        so_far = job.run.fork()
        if begun and place < len(steps) and not steps[place].core:
            so_far.missing.append(steps[place].name)
        self._waiting.pop(id(job), None)
        job.done = True
        if not job.future.done():
            job.future.set_result(so_far)

    def _abandon(self, job: Job, place: int, started: float) -> None:
        """Leave the thread in its step and let a new one go on behind it."""
        run = job.run
        with self._lock:
            # The thread may have come out of the step since, or be done with the job.
            if self._active is not job or run.step_started != started or self.lost >= MOST_LOST:
                return
            step = job.pipeline.plan(run.query)[place]
            # What core steps make is needed, and making it again does no harm.
            fork = run.fork()
            fork.step = place if step.core else place + 1
            # What hung costs itself alone: the rest of its stage gets the slice again, as long as the total lasts.
            now = time.monotonic()
            fork.times[fork.stage] = fork.times.get(fork.stage, 0.0) + now - fork.stage_started
            fork.stage_started = now
            self._stuck[self._turn] = step.name
            self._turn += 1
            job.pipeline.breakers.hangs(step.name)
            again = None if job.done else Job(fork, job.pipeline, job.future)
            self._active = again
        logger.warning("component hangs", extra={"component": step.name})
        if again is not None:
            if not step.core:
                fork.missing.append(step.name)
            job.done = True
            self._waiting.pop(id(job), None)
            self._waiting[id(again)] = again
        self._start(again)
