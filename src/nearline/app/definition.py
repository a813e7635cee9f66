"""The application: its events, the attributes of its items, and the components it uses."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import xxhash

from nearline.app import checks
from nearline.app.attributes import Attribute, condition_kinds
from nearline.app.event_types import event_types
from nearline.app.explanations import Templates, check_explanations
from nearline.app.pages import DEFAULT_PAGES, check_pages
from nearline.schema.components import Adjustment, Arrangement, Feature, Filter, Fold, Ranker, Source
from nearline.schema.conditions import Kind
from nearline.schema.event import EventType
from nearline.schema.kinds import Kinds
from nearline.schema.page import Page
from nearline.schema.rules import Rule as DeclaredRule

Rule = Filter | Adjustment | Arrangement


@dataclass(frozen=True, eq=False)
class App:
    """An application, checked when it is made.

    Attributes:
        events: event types; a bare name gets its well-known meaning (else weight 1, role click).
        attributes: attributes of items by name, beyond those that every item has.
        features: what the ranker reads; None for the defaults, here and below.
        sources: where candidates come from.
        ranker: what scores them.
        rules: filters, adjustments and arrangements, each kind in the order in which it applies, and rules without code;
            with those alone, the other rules are the defaults.
        name: letters, digits, - and _.
        weights: how much the probability of each outcome counts in the score; by default its event's weight.
        explanations: words of explanations by locale and type, before the built-in ones.
        pages: pages of rows by name; None for the default ones.
        types: the event types, with bare names resolved.
        declared: the rules without code; afterwards `rules` are the others.

    Raises:
        NearlineError: the definition can't be right; it names field, value and remedy.
    """

    events: Sequence[EventType | str]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    features: Sequence[Feature] | None = None
    sources: Sequence[Source] | None = None
    ranker: Ranker | None = None
    rules: Sequence[Rule | DeclaredRule] | None = None
    name: str = "app"
    weights: Mapping[str, float] | None = None
    explanations: Templates = field(default_factory=dict)
    pages: Mapping[str, Page] | None = None
    types: tuple[EventType, ...] = field(init=False)
    declared: tuple[DeclaredRule, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Check the definition and give each field its final form."""
        checks.check_name(self.name)
        types = event_types(self.events)
        features = checks.check_components("App.features", self.features, checks.FEATURE)
        checks.check_columns(features)
        if self.ranker is not None:
            checks.check_component("App.ranker", self.ranker, checks.RANKER)
        attributes = checks.check_attributes(self.attributes)
        rules, declared = checks.check_rules(self.rules, condition_kinds(attributes))
        final: dict[str, Any] = {
            "events": tuple(self.events),
            "types": types,
            "attributes": attributes,
            "features": features,
            "sources": checks.check_components("App.sources", self.sources, checks.SOURCE),
            "rules": rules,
            "declared": declared,
            "weights": checks.check_weights(self.weights, types),
            "explanations": check_explanations(self.explanations),
        }
        if self.pages is not None:
            final["pages"] = check_pages(self.pages, condition_kinds(final["attributes"]))
        for name, value in final.items():
            object.__setattr__(self, name, value)

    def kinds(self) -> Kinds:
        """Return the event types as lookup tables."""
        return Kinds(self.types)

    @property
    def condition_kinds(self) -> dict[str, Kind]:
        """Return the attributes of items that conditions may name, with their kinds."""
        return condition_kinds(self.attributes)

    @property
    def served_pages(self) -> Mapping[str, Page]:
        """Return the pages by name: the declared ones, or the default ones where none are declared."""
        return DEFAULT_PAGES if self.pages is None else self.pages

    @property
    def outcomes(self) -> tuple[str, ...]:
        """Return the names of the outcomes, in the order of the events."""
        return tuple(kind.name for kind in self.types if kind.outcome)

    def outcome_weights(self) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        """Return the weight of each outcome in the order of `outcomes`, `[n_outcomes] float32`."""
        weights = self.weights or {}
        return np.array([weights[name] for name in self.outcomes], np.float32)


def feature_set_hash(features: Sequence[Feature]) -> str:
    """Return 16 hex digits that change when state or columns would no longer fit.

    They cover, in order, each feature's name and columns, and each of its folds' name, entity, tier, dtype
    and plain settings (such as the width of a tile: other rows in the same dtype).
    """
    described = [[f.name, list(f.columns), [_describe_fold(fold) for fold in f.folds]] for f in features]
    return xxhash.xxh3_64_hexdigest(json.dumps(described).encode())


def state_hash(folds: Sequence[Fold], parts: Sequence[str], types: Sequence[EventType], settings: Sequence[int]) -> str:
    """Return 16 hex digits that change when the rows of a snapshot would have another form or meaning.

    Args:
        folds: that the state keeps.
        parts: names of its state of variable size.
        types: event types, whose weights and suppressions are folded in.
        settings: numbers of the deployment that the state depends on.
    """
    kinds = msgspec.json.encode(list(types)).decode()
    described = [[_describe_fold(fold) for fold in folds], list(parts), kinds, list(settings)]
    return xxhash.xxh3_64_hexdigest(json.dumps(described).encode())


def _describe_fold(fold: Fold) -> list[Any]:
    settings = {
        name: value
        for name, value in sorted(getattr(fold, "__dict__", {}).items())
        if isinstance(value, bool | int | float | str) and not name.startswith("_")
    }
    return [fold.name, fold.entity, fold.tier, _describe_dtype(np.dtype(fold.dtype)), settings]


def _describe_dtype(dtype: np.dtype[Any]) -> list[Any]:
    inner, shape = dtype.subdtype or (dtype, ())
    if inner.names is None or inner.fields is None:
        return [inner.str, list(shape)]
    fields = [[name, inner.fields[name][1], _describe_dtype(inner.fields[name][0])] for name in inner.names]
    return [fields, inner.itemsize, list(shape)]
