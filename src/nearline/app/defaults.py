"""The components that an application gets when it names none: all that the packages hold, sorted by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nearline.app.definition import App, Rule
from nearline.app.options import Options, check_names, made
from nearline.app.pages import check_row_sources
from nearline.pipeline.discovery import discover
from nearline.schema.components import Feature, Ranker, Source
from nearline.schema.errors import NearlineError

FEATURE, SOURCE, RANKER = ("name", "columns", "read"), ("name", "fetch"), ("name", "fit", "score")
FILTER, ARRANGEMENT, ADJUSTMENT = ("name", "keep"), ("name", "arrange"), ("name", "adjust")
"""What classes of each kind have."""
NO_OPTIONS: Options = {}


@dataclass(frozen=True, slots=True)
class Components:
    """What an application runs with: its own components where it names them, else the defaults."""

    features: tuple[Feature, ...]
    sources: tuple[Source, ...]
    ranker: Ranker
    rules: tuple[Rule, ...]


def components(app: App, order_only: bool = False, options: Options = NO_OPTIONS) -> Components:
    """Return an application's components, and those that say `always = True`; time-based ones only where times are real.

    Args:
        app: the application.
        order_only: whether times were made from positions.
        options: arguments of default components, as the settings give them.

    Raises:
        NearlineError: options name something that is not there.
    """
    if options:
        check_names(options, tunable(app))
    given = app.features
    features = _needed(default_features(order_only, options), app) if given is None else _in_time(given, order_only)
    own = None if app.sources is None else _with_always(app.sources, default_sources())
    sources = _in_time(own, order_only) if own is not None else _needed(default_sources(order_only, options), app)
    if app.pages is not None:
        check_row_sources(app.pages, [source.name for source in app.sources or default_sources()])
    rules = _with_always(app.rules, default_rules()) if app.rules is not None else default_rules(options)
    return Components(features, sources, app.ranker or default_ranker(options), rules)


def default_features(order_only: bool = False, options: Options = NO_OPTIONS) -> tuple[Feature, ...]:
    """Return every feature by name; the time-based ones only where times are real."""
    return _in_time(_made("nearline.features", FEATURE, options), order_only)


def default_sources(order_only: bool = False, options: Options = NO_OPTIONS) -> tuple[Source, ...]:
    """Return every source by name; the time-based ones only where times are real."""
    return _in_time(_made("nearline.sources", SOURCE, options), order_only)


def default_ranker(options: Options = NO_OPTIONS) -> Ranker:
    """Return the default ranker: the first by name of those that don't say `default = False`.

    Raises:
        NearlineError: there is none.
    """
    found: list[Ranker] = _made("nearline.rankers", RANKER, options)
    if not found:
        raise NearlineError("App.ranker", None, "name one: there is no default ranker in nearline.rankers")
    return found[0]


def default_rules(options: Options = NO_OPTIONS) -> tuple[Rule, ...]:
    """Return the filters by name, then adjustments and arrangements by `order` (50 where not said) and name."""
    filters: list[Rule] = _made("nearline.rerank", FILTER, options)
    arrangements: list[Rule] = _made("nearline.rerank", ARRANGEMENT, options)
    arrangements += _made("nearline.rerank", ADJUSTMENT, options)
    return (*filters, *sorted(arrangements, key=lambda rule: getattr(rule, "order", 50)))


def _made(package: str, has: tuple[str, ...], options: Options) -> list[Any]:
    return [made(kind, options) for kind in _kinds(package, has).values()]


def _kinds(package: str, has: tuple[str, ...]) -> dict[str, type]:
    return {name: kind for name, kind in discover(package, has).items() if getattr(kind, "default", True)}


def tunable(app: App) -> dict[str, type]:
    """Return the classes of the defaults that an application takes, by name: all that options may name."""
    parts = (
        (app.features, "nearline.features", (FEATURE,)),
        (app.sources, "nearline.sources", (SOURCE,)),
        (app.ranker, "nearline.rankers", (RANKER,)),
        (app.rules, "nearline.rerank", (FILTER, ARRANGEMENT, ADJUSTMENT)),
    )
    return {
        name: kind
        for own, package, shapes in parts
        if own is None
        for has in shapes
        for name, kind in _kinds(package, has).items()
    }


def _with_always(own: Sequence[Any], defaults: Sequence[Any]) -> tuple[Any, ...]:
    """Return components with the defaults that an application can't do without: what is set while serving needs them."""
    names = {each.name for each in own}
    return (*own, *(each for each in defaults if getattr(each, "always", False) and each.name not in names))


def _needed(found: Sequence[Any], app: App) -> tuple[Any, ...]:
    """Return the defaults that have anything to go by in an application: `needs_role` says which events one lives on."""
    roles = {"", *(kind.role for kind in app.types)}
    return tuple(each for each in found if getattr(each, "needs_role", "") in roles)


def _in_time(found: Sequence[Any], order_only: bool) -> tuple[Any, ...]:
    return tuple(each for each in found if not (order_only and each.time_based))
