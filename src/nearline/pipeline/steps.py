"""Steps: each component's turn in a request, and when there is anything for it to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nearline.pipeline.run import Run
from nearline.schema.components import Occasional


@dataclass(frozen=True, slots=True)
class Step:
    """One component's turn. A core step can't be skipped; `wanted` says whether there is anything to do.

    A spare step is what its stage degrades to when it is late.
    """

    stage: str
    name: str
    act: Callable[[Run], None]
    core: bool = False
    wanted: Callable[[Run], bool] | None = None
    spare: bool = False


def is_short(run: Run) -> bool:
    """Return whether the sources so far found too few different items for a page."""
    query = run.query
    # What the request itself rules out does not fill a page.
    needed = query.page_size + run.slack + len(query.exclude) + len(query.cart) + 1
    found = [retrieved.items for retrieved in run.retrieved.values()]
    total = sum(len(items) for items in found)
    return total < needed or (total < 4 * needed and len(np.unique(np.concatenate(found))) < needed)


def sometimes(component: object, wanted: Callable[[Run], bool] | None) -> Callable[[Run], bool] | None:
    """Return when a component is asked: where it says so itself, only then."""
    if not isinstance(component, Occasional):
        return wanted

    def asked(run: Run) -> bool:
        if wanted is not None and not wanted(run):
            return False
        assert run.user is not None
        try:
            return component.wanted(run.query, run.user)
        except Exception:
            return True  # its turn then says what is wrong, and costs it alone

    return asked


def has_candidates(run: Run) -> bool:
    """Return whether any source found something."""
    return run.candidates is not None and len(run.candidates) > 0


def has_stale(run: Run) -> bool:
    """Return whether the list is an older one brought up to date."""
    return run.refresh is not None


def unranked(run: Run) -> bool:
    """Return whether there are candidates that no ranker has scored."""
    return run.scored is None and has_candidates(run)


def is_scored(run: Run) -> bool:
    """Return whether scores are there and rules are asked for."""
    return run.scored is not None and run.query.rules


def wants_rules(run: Run) -> bool:
    """Return whether there is one ordered list for the rules to arrange."""
    return run.ranked is not None and run.query.rules and run.query.rows is None and len(run.ranked.scores) > 0


def wants_rows(run: Run) -> bool:
    """Return whether the ordered list is to be cut into the rows of a page."""
    return run.query.rows is not None and run.ranked is not None
