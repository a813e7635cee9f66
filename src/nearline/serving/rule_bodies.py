"""Rules as clients send them: decoded part by part, so that what is wrong is named where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from nearline.schema.conditions import Condition, Kind
from nearline.schema.errors import NearlineError, nearest
from nearline.schema.query import SURFACES
from nearline.schema.rules import ACTIONS, Rule, checked_rule
from nearline.serving.bodies import MalformedError, explained, fields, shown

T = TypeVar("T")
Members = dict[str, msgspec.Raw]


class PreviewIn(msgspec.Struct, forbid_unknown_fields=True):
    """A rule to try out, and the request for which: the fields are the parameters of `GET /v1/recommendations`."""

    rule: msgspec.Raw
    user_id: str | int = ""
    session_id: str = ""
    context: str = SURFACES[0]
    page_size: int = 20
    item_id: str | int = ""
    device: str = ""
    locale: str = ""
    location: str = ""
    filter: list[str] = msgspec.field(default_factory=list)


def rule_of(raw: bytes | msgspec.Raw, name: str, kinds: Mapping[str, Kind], at: str = "") -> Rule:
    """Return the rule of a body, checked.

    Args:
        name: as in the path, "" where the body must name it.
        kinds: attributes of items.
        at: where the rule stands in its body, such as "rule.".

    Raises:
        MalformedError: it is not JSON.
        NearlineError: what is wrong with it.
    """
    try:
        return _rule_of(raw, name, kinds)
    except MalformedError:
        raise
    except NearlineError as error:
        raise NearlineError(at + error.field, shown(error.value), error.remedy) from None


def _rule_of(raw: bytes | msgspec.Raw, name: str, kinds: Mapping[str, Kind]) -> Rule:
    members = decoded(raw, Members)
    for field in members.keys() - set(fields(Rule)):
        raise NearlineError(field, _plain(members[field]), f"there is no such field{nearest(field, fields(Rule))}")
    if "action" in members:
        _check_action(members["action"])
    for field in ("when", "where"):
        conditions = decoded(members[field], list[msgspec.Raw], field) if field in members else []
        for place, condition in enumerate(conditions):
            decoded(condition, Condition, f"{field}[{place}]")
    rule = decoded(raw, Rule)
    if name and rule.name not in ("", name):
        raise NearlineError("name", rule.name, "leave it out, or repeat the one in the path")
    return checked_rule(msgspec.structs.replace(rule, name=name or rule.name), kinds)


def _check_action(raw: msgspec.Raw) -> None:
    members = decoded(raw, Members, "action")
    kind = _plain(members["type"]) if "type" in members else None
    if not isinstance(kind, str) or kind not in ACTIONS:
        raise NearlineError("action.type", kind, f"say what to do{nearest(str(kind or ''), ACTIONS)}")
    decoded(raw, ACTIONS[kind], "action")


def decoded(raw: bytes | msgspec.Raw, kind: type[T], at: str = "") -> T:
    """Return JSON as a type.

    Args:
        at: where it stands, for the error.

    Raises:
        MalformedError: it is not JSON.
        NearlineError: it is something else.
    """
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if isinstance(error, msgspec.ValidationError) and not isinstance(kind, type):
            raise NearlineError(at or "body", _plain(raw), "give an object" if kind is Members else "give a list") from None
        found = explained(error, raw, kind)
        if isinstance(found, MalformedError):
            raise found from None
        inner = "" if found.field == "body" else found.field
        raise NearlineError(".".join(filter(None, (at, inner))) or "body", found.value, found.remedy) from None


def _plain(raw: bytes | msgspec.Raw) -> Any:
    return shown(msgspec.json.decode(raw))
