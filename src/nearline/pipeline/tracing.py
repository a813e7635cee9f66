"""Tracing: what each step of one request left, and how long it took. It watches; the steps know nothing of it."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from nearline.pipeline.run import Run
from nearline.schema.candidates import F32, I32


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The candidates after a step that changed them.

    Attributes:
        step: its name, such as "filter:available" or "rule:diversity".
        items: slots, `[n] int32`; in the list's order once `ordered`.
        scores: `[n] float32`, `None` before any were given.
        ordered: whether the step ordered or arranged them.
    """

    step: str
    items: I32
    scores: F32 | None
    ordered: bool

    def place(self, item: int) -> int:
        """Return where an item stands, -1 where it is not among them."""
        found = np.flatnonzero(self.items == item)
        return int(found[0]) if len(found) else -1

    def rank(self, place: int) -> int:
        """Return the rank, from 1, of the candidate at a place: by order where there is one, else by score; 0 for none."""
        if self.ordered:
            return place + 1
        return 0 if self.scores is None else int((self.scores > self.scores[place]).sum()) + 1


class Tracer:
    """Watches one run: assign it to `Run.watch`.

    Attributes:
        snapshots: one for each step that changed the candidates, in order.
        seconds: by step, whatever it did.
    """

    def __init__(self) -> None:
        self.snapshots: list[Snapshot] = []
        self.seconds: dict[str, float] = {}

    def __call__(self, step: str, run: Run) -> None:
        """Note what a step left; called by the thread that took it, right after."""
        self.seconds[step] = time.monotonic() - run.step_started
        candidates = run.candidates if run.ranked is None else run.ranked.candidates
        if candidates is None:
            return
        scored = run.scored if run.ranked is None else run.ranked
        items, scores = candidates.items, None if scored is None else scored.scores
        last = self.snapshots[-1] if self.snapshots else None
        if last is None or items is not last.items or scores is not last.scores:
            self.snapshots.append(Snapshot(step, items, scores, run.ranked is not None))
