"""One request on its way through the stages."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearline.pipeline.item_block import Refresh
from nearline.schema.candidates import F32, I32, Candidates, Ranked, Retrieved
from nearline.schema.components import ReadContext, UserState
from nearline.schema.page import Shelf
from nearline.schema.query import Query


class Scored(NamedTuple):
    """Candidates' scores before they are ordered.

    Attributes:
        scores: `[n] float32`, by place of the candidate.
        outcomes: `[n_outcomes, n] float32`.
        order: places, best first, `[n] int32`; `None` where a rule changed the scores since.
        served_from: what made them.
    """

    scores: F32
    outcomes: F32
    order: I32 | None
    served_from: str


@dataclass(slots=True)
class Run:
    """What the finished steps of a request left; the only mutable value of the pipeline.

    A thread that hangs in a step is abandoned with its run; a fork goes on with the next step elsewhere.

    Attributes:
        started, stage_started, step_started: monotonic seconds.
        step: place of the step that is next or under way.
        stage: its stage.
        retrieved: by place of the source.
        keep: what the filters have left so far, `[n] bool`; applied when all have spoken.
        matrix: `[n_features, n_candidates] float32`.
        context: what the features read.
        refresh: candidates whose item columns are read anew; `None` for none.
        whole: places of all candidates, best first, and their matrix in their own order where one is kept.
        slack: candidates that filters may drop; sources are asked for so many more, up to twice their quota.
        published: what was published for the visitor before, read where nothing was made in time.
        shelves: the rows of the page that was asked for.
        missing: names of components that failed or were late.
        times: seconds by stage.
        exact: whether no event was folded while features were read.
        watch: told after each step that was taken, by the thread that took it; `None` for nobody.
    """

    query: Query
    n_sources: int
    started: float = field(default_factory=time.monotonic)
    stage_started: float = 0.0
    step_started: float = 0.0
    step: int = 0
    stage: str = ""
    abandoned: bool = False
    slack: int = 0
    user: UserState | None = None
    version: int = 0
    offset: int = 0
    exact: bool = True
    retrieved: dict[int, Retrieved] = field(default_factory=dict)
    candidates: Candidates | None = None
    keep: NDArray[np.bool_] | None = None
    matrix: F32 | None = None
    context: ReadContext | None = None
    refresh: Refresh | None = None
    scored: Scored | None = None
    whole: tuple[I32, F32 | None] | None = None
    ranked: Ranked | None = None
    served_from: str = ""
    published: Retrieved | None = None
    shelves: list[Shelf] | None = None
    missing: list[str] = field(default_factory=list)
    times: dict[str, float] = field(default_factory=dict)
    trace: dict[str, Any] = field(default_factory=dict)
    watch: Callable[[str, Run], None] | None = None

    def fork(self) -> Run:
        """Return a copy that goes on elsewhere, and abandon this one: its thread stops after the step under way."""
        self.abandoned = True
        # The thread may be between the two: a list whose matrix may be in another order goes without.
        ranked, matrix = self.ranked, self.matrix
        return Run(
            query=self.query,
            n_sources=self.n_sources,
            started=self.started,
            stage_started=self.stage_started,
            step=self.step,
            stage=self.stage,
            slack=self.slack,
            user=self.user,
            version=self.version,
            offset=self.offset,
            exact=self.exact,
            retrieved=dict(self.retrieved),
            candidates=self.candidates,
            keep=self.keep,
            matrix=None if matrix is None or ranked is not None else matrix.copy(),
            context=self.context,
            refresh=self.refresh,
            scored=self.scored,
            whole=self.whole,
            ranked=ranked,
            served_from=self.served_from,
            missing=list(self.missing),
            times=dict(self.times),
            trace=dict(self.trace),
            watch=self.watch,
        )

    def elapsed(self) -> float:
        """Return seconds since the request came."""
        return time.monotonic() - self.started
