"""The rulebook: declared rules as bits by item, made beside the requests, and which of them a request is under."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

import msgspec

from nearline.schema.clock import MINUTE
from nearline.schema.declared import Declared
from nearline.schema.errors import NearlineError
from nearline.schema.query import Query
from nearline.schema.rules import KIND, InForce, Rule, checked_rule
from nearline.stores.attribute_index import AttributeIndex
from nearline.stores.catalog import Catalog
from nearline.stores.compiled_rules import CompiledRules

logger = logging.getLogger("nearline.rules")
PATIENCE = 2.0
"""Seconds after which a request follows changed items itself: then nobody seems to renew."""
SHARE = 10
"""Times what the last making took, for which the next waits."""
TRIALS = 8


class Rulebook:
    """The rules of the application and those declared while serving; of two with one name, the declared one.

    Args:
        declared: where rules are set.
        attributes: which items meet conditions.
        catalog: of the items.
        own: the application's rules.
    """

    def __init__(self, declared: Declared, attributes: AttributeIndex, catalog: Catalog, own: Sequence[Rule] = ()) -> None:
        self._declared, self._attributes, self._catalog, self.own = declared, attributes, catalog, tuple(own)
        self._read: tuple[int, tuple[Rule, ...], dict[str, NearlineError]] = (-1, (), {})
        self._compiled = CompiledRules((), attributes, catalog, 0)
        self._made = (-1, -1, 0)
        self._at, self._next = 0.0, 0.0
        self._trials: dict[Rule, CompiledRules] = {}
        self._last: tuple[Query | None, InForce | None] = (None, None)
        self._lock = threading.Lock()

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Every rule that can apply, highest priority first, then by name."""
        return self._reading()[1]

    @property
    def problems(self) -> dict[str, NearlineError]:
        """Declared rules that can't apply any more, with why: the application may have lost an attribute."""
        return self._reading()[2]

    def unchecked(self, name: str) -> Rule | None:
        """Return a declared rule as it was set, be there a problem with it; `None` where it can't even be read."""
        try:
            rule = msgspec.json.decode(self._declared.of(KIND).get(name, ""), type=Rule)
        except msgspec.MsgspecError:
            return None
        return msgspec.structs.replace(rule, name=name)

    def in_force(self, query: Query, known: bool) -> InForce | None:
        """Return the rules that a request is under, `None` for none.

        Args:
            known: whether something of the visitor is remembered.
        """
        if self._declared.version == self._made[0] and not self._compiled.rules and query.trial is None:
            return None
        last, found = self._last
        if last is query:
            return found
        if query.trial is not None:
            compiled = self._trials.get(query.trial) or self.prepare(query.trial, query.now)
        else:
            self._follow(query.now)
            compiled = self._compiled
        found = compiled.in_force(query, known)
        self._last = query, found
        return found

    def applies(self, query: Query, known: bool) -> bool:
        """Return whether the `when` of the rule that a request tries out holds for it."""
        force = self.in_force(query, known) if query.trial is not None else None
        return force is not None and query.trial is not None and force.holds(query.trial.name)

    def prepare(self, trial: Rule, now: int) -> CompiledRules:
        """Return the rules with one more, or another of its name, at any time in force; takes long over a large catalogue."""
        trial_now = msgspec.structs.replace(trial, starts=None, ends=None)
        rules = _sorted([*(rule for rule in self.rules if rule.name != trial.name), trial_now])
        compiled = CompiledRules(rules, self._attributes, self._catalog, now)
        if len(self._trials) >= TRIALS:
            self._trials.clear()
        self._trials[trial] = compiled
        return compiled

    def renew(self, now: int) -> None:
        """Follow declarations, changed items and the time; called beside the requests."""
        with self._lock:
            declared = self._declared.version != self._made[0]
            if declared or (self._stale(now) and time.monotonic() >= self._next):
                self._make(now)

    def _follow(self, now: int) -> None:
        """Follow a declaration at once, and the rest where nobody renews."""
        if not self._stale(now):
            return
        waits = self._declared.version == self._made[0] and time.monotonic() - self._at < PATIENCE
        if waits and abs(now - self._made[2]) < 2 * MINUTE:
            return
        if self._lock.acquire(blocking=False):
            try:
                self._make(now)
            finally:
                self._lock.release()

    def _stale(self, now: int) -> bool:
        declared, items, at = self._made
        timed = self._compiled.timed and now // MINUTE != at // MINUTE
        changed = bool(self._compiled.rules) and self._catalog.version != items
        return declared != self._declared.version or changed or timed

    def _make(self, now: int) -> None:
        began = time.monotonic()
        made = self._declared.version, self._catalog.version, now
        rules = self.rules
        if rules:
            self._attributes.renew()
        self._compiled = CompiledRules(rules, self._attributes, self._catalog, now)
        self._trials.clear()
        self._made = made
        self._at = time.monotonic()
        self._next = self._at + SHARE * (self._at - began)

    def _reading(self) -> tuple[int, tuple[Rule, ...], dict[str, NearlineError]]:
        version = self._declared.version
        if self._read[0] != version:
            rules, problems = {rule.name: rule for rule in self.own}, {}
            for name, body in self._declared.of(KIND).items():
                try:
                    rules[name] = read_rule(name, body, self._attributes)
                except NearlineError as error:
                    # It was checked when it was set: the application has changed since.
                    problems[name] = error
                    logger.warning("rule left out", extra={"rule": name, "error": str(error)})
            self._read = version, tuple(_sorted(list(rules.values()))), problems
        return self._read


def read_rule(name: str, body: str, attributes: AttributeIndex) -> Rule:
    """Return a declared rule, checked again.

    Raises:
        NearlineError: what is wrong with it.
    """
    try:
        rule = msgspec.json.decode(body, type=Rule)
    except msgspec.MsgspecError as error:
        raise NearlineError("rule", name, f"set it again: {error}") from None
    return checked_rule(msgspec.structs.replace(rule, name=name), attributes.kinds)


def _sorted(rules: list[Rule]) -> list[Rule]:
    return sorted(rules, key=lambda rule: (-rule.priority, rule.name))
