"""Rules, as they are set and as they stand. Fields that a newer server adds are ignored."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Condition(msgspec.Struct, frozen=True):
    """An attribute of an item or of the request, an op, and a value; several values for `in` and `not_in`."""

    attribute: str
    op: str
    value: str | int | float | bool | list[str]


class Boost(msgspec.Struct, frozen=True, tag_field="type", tag="boost"):
    """Multiply scores by a factor above 1."""

    factor: float


class Bury(msgspec.Struct, frozen=True, tag_field="type", tag="bury"):
    """Divide scores by a factor above 1."""

    factor: float


class Exclude(msgspec.Struct, frozen=True, tag_field="type", tag="exclude"):
    """Leave them out of lists."""


class Pin(msgspec.Struct, frozen=True, tag_field="type", tag="pin"):
    """Put the best of them at a position, from 1."""

    position: int


class AtLeast(msgspec.Struct, frozen=True, tag_field="type", tag="at_least", omit_defaults=True):
    """Have at least `count` of them among the first `first`; say `label` of them there."""

    count: int
    first: int
    label: str = ""


class AtMost(msgspec.Struct, frozen=True, tag_field="type", tag="at_most"):
    """Have at most `count` of them among the first `first`."""

    count: int
    first: int


class Rule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What to do with the items that meet `where`, in requests that meet `when`, from `starts` until `ends` (with zones)."""

    name: str = ""
    action: Boost | Bury | Exclude | Pin | AtLeast | AtMost
    where: list[Condition]
    when: list[Condition] = []
    starts: datetime | None = None
    ends: datetime | None = None
    priority: int = 0


class RuleTaken(msgspec.Struct, frozen=True):
    """A rule as it is set now."""

    rule: Rule
    offset: int = 0


class RuleShown(msgspec.Struct, frozen=True):
    """A rule as it stands: `origin` application or declared; `state` in_force, waiting, over or refused (see `problem`)."""

    rule: Rule
    origin: str
    state: str
    problem: str = ""


class RulesShown(msgspec.Struct, frozen=True):
    """Every rule, the highest priority first."""

    rules: list[RuleShown]


class PreviewPlace(msgspec.Struct, frozen=True):
    """One place of a previewed list; `before` is its rank without the rule, None where it was not there."""

    item_id: str
    title: str = ""
    rank: int = 0
    before: int | None = None
    category: str = ""
    label: str = ""


class RulePreview(msgspec.Struct, frozen=True):
    """A list without a rule and with it; `gone` are the items that it takes out."""

    applies: bool
    effects: int
    before: list[PreviewPlace]
    after: list[PreviewPlace]
    gone: list[str] = []
