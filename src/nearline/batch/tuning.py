"""Tuning: arguments of components that make better lists on what was held out, looked for by Optuna's TPE."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nearline.app.defaults import tunable
from nearline.app.definition import App
from nearline.app.options import numbers
from nearline.schema.errors import NearlineError
from nearline.schema.span import Span

Chosen = dict[str, dict[str, float]]
"""Values by component and argument."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One argument that is looked for.

    Attributes:
        component, argument: its place.
        span: where it may lie.
        default: what it is without tuning; whole where that is.
    """

    component: str
    argument: str
    span: Span
    default: float

    @property
    def name(self) -> str:
        """Return `component.argument`."""
        return f"{self.component}.{self.argument}"


@dataclass(frozen=True, slots=True)
class Worth:
    """What lists are worth: a mean and its standard error."""

    mean: float
    error: float


@dataclass(frozen=True, slots=True)
class Trial:
    """One choice and what it came to."""

    chosen: Chosen
    worth: Worth
    seconds: float


def axes(app: App, only: Sequence[str] = ()) -> tuple[Axis, ...]:
    """Return what may be tuned of an application's default components: what their classes name in `tunes`.

    Args:
        app: the application.
        only: names of components; all that can be tuned when none is given.

    Raises:
        NearlineError: a component is named that has nothing to tune, or there is none at all.
    """
    found = {name: kind for name, kind in tunable(app).items() if getattr(kind, "tunes", None)}
    for name in only:
        if name not in found:
            raise NearlineError("--only", name, f"name components that can be tuned: {', '.join(sorted(found))}")
    out = tuple(
        Axis(name, argument, span, numbers(kind)[argument])
        for name, kind in sorted(found.items())
        if not only or name in only
        for argument, span in kind.tunes.items()  # type: ignore[attr-defined]
    )
    if not out:
        raise NearlineError("--app", app.name, "it makes all its components itself; tune their arguments there")
    return out


def tune(
    space: Sequence[Axis],
    worth: Callable[[Chosen], Worth],
    trials: int,
    seed: int,
    say: Callable[[Trial, int, Trial], None] = lambda trial, place, best: None,
) -> list[Trial]:
    """Return all trials in order; the first is that of the defaults.

    Args:
        space: what is looked for.
        worth: judges a choice, on held-out data that nothing is reported on later; greater is better.
        trials: how many, the first included.
        seed: of the search; the same seed, the same trials.
        say: told of each trial, its place and the best so far.

    Raises:
        NearlineError: Optuna is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise NearlineError("optuna", None, "pip install nearline[tune]") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    study.enqueue_trial({axis.name: axis.default for axis in space})
    done: list[Trial] = []
    for place in range(trials):
        asked = study.ask()
        chosen: Chosen = {}
        for axis in space:
            chosen.setdefault(axis.component, {})[axis.argument] = _suggested(asked, axis)
        begun = time.perf_counter()
        found = worth(chosen)
        done.append(Trial(chosen, found, time.perf_counter() - begun))
        study.tell(asked, found.mean)
        say(done[-1], place, best(done))
    return done


def best(trials: Sequence[Trial]) -> Trial:
    """Return the trial with the greatest worth, the first of equal ones."""
    return max(trials, key=lambda trial: trial.worth.mean)


def changes(space: Sequence[Axis], chosen: Mapping[str, Mapping[str, float]]) -> Chosen:
    """Return what differs from the defaults, to three digits, as settings take it."""
    out: Chosen = {}
    for axis in space:
        value = chosen[axis.component][axis.argument]
        if value != axis.default:
            shown = value if isinstance(value, int) else float(f"{value:.3g}")
            out.setdefault(axis.component, {})[axis.argument] = shown
    return out


def _suggested(trial: Any, axis: Axis) -> float:
    low, high, log = axis.span
    if isinstance(axis.default, int):
        return int(trial.suggest_int(axis.name, int(low), int(high), log=log))
    return float(trial.suggest_float(axis.name, low, high, log=log))
