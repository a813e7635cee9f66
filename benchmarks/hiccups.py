"""A process that sleeps a millisecond at a time and notes when the machine let it sleep much longer."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection

NAP, STALL = 0.001, 0.002
Stall = tuple[float, float]
"""Monotonic seconds: when it should have woken, when it did."""


def _nap(pipe: Connection, core: int) -> None:
    os.sched_setaffinity(0, {core})
    # In real time class it runs as soon as it wakes, whatever else is busy: what it waits for is the machine.
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
    real = os.sched_getscheduler(0) == os.SCHED_FIFO
    stalls: list[Stall] = []
    pipe.send(real)
    while not pipe.poll():
        due = time.monotonic() + NAP
        time.sleep(NAP)
        woke = time.monotonic()
        if woke - due > STALL:
            stalls.append((due, woke))
    pipe.send(stalls)


class Hiccups:
    """The stalls noted; `real` says whether the loggers ran in real time class (else one core counts)."""

    def __init__(self) -> None:
        self.real = False
        self.stalls: list[Stall] = []

    def text(self) -> str:
        """Return number, sum and longest in words."""
        held = [woke - due for due, woke in self.stalls]
        longest, whole = max(held, default=0.0) * 1e3, sum(held) * 1e3
        return f"{len(held)} stalls over {STALL * 1e3:.0f} ms, {whole:.0f} ms in all, longest {longest:.1f} ms"

    def spared(self, begun: Sequence[float], ended: Sequence[float]) -> list[bool]:
        """Return which of the requests, by monotonic begin and end, did not overlap a stall."""
        ordered, place, out = sorted(self.stalls), 0, [True] * len(begun)
        for n in sorted(range(len(begun)), key=lambda n: begun[n]):
            while place < len(ordered) and ordered[place][1] < begun[n]:
                place += 1
            out[n] = all(due > ended[n] or woke < begun[n] for due, woke in ordered[place : place + 50])
        return out


@contextlib.contextmanager
def hiccups(cores: Sequence[int]) -> Iterator[Hiccups]:
    """Note the machine's stalls on these cores (the loader's last) while the body runs."""
    context = multiprocessing.get_context("spawn")
    found, loggers = Hiccups(), []
    for core in cores:
        ours, theirs = context.Pipe()
        process = context.Process(target=_nap, args=(theirs, core), daemon=True)
        process.start()
        loggers.append((core, ours, process))
    reals = [pipe.recv() for _, pipe, _ in loggers]
    found.real = all(reals)
    try:
        yield found
    finally:
        for core, pipe, process in loggers:
            pipe.send(None)
            stalls: list[Stall] = pipe.recv()
            process.join()
            # Outside the real time class a busy server looks like a stalled machine: not its core then.
            if found.real or core == cores[-1]:
                found.stalls += stalls
