"""Request bodies: one value, an array of them, or an array under a name; a bad element is bad alone."""

from __future__ import annotations

import re
from typing import Any, Generic, TypeVar

import msgspec

from nearline.schema.errors import NearlineError
from nearline.schema.errors import nearest as nearest

T = TypeVar("T")
MOST = 1_000
"""Elements of a batch at most."""
LONGEST_ID = 256
"""Characters of an id, a page and the like at most."""

_PATH = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_MISSING = re.compile(r"Object missing required field `(?P<name>[^`]*)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)
_EXPECTED = re.compile(r"Expected `(?P<wanted>[^`]*)`, got `(?P<got>[^`]*)`")
_KINDS = {"str": "text", "int": "a whole number", "float": "a number", "object": "an object",
          "array": "an array", "bool": "true or false", "null": "null"}  # fmt: skip
_SHALLOW: Any = dict[str, msgspec.Raw] | list[msgspec.Raw]
_FAILED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class MalformedError(NearlineError):
    """A body that is not JSON (400); other errors are about what it says (422)."""


class Rejection(msgspec.Struct, frozen=True):
    """One element that was not taken: its place in the batch, what is wrong with it and what to do."""

    index: int
    field: str
    value: Any
    remedy: str


class Bodies(Generic[T]):
    """Decodes bodies of one kind.

    Args:
        kind: the struct that an element is.
        name: of the array in `{name: [...]}`.
    """

    def __init__(self, kind: type[T], name: str) -> None:
        self.kind, self.name = kind, name
        self._one, self._many = msgspec.json.Decoder(kind), msgspec.json.Decoder(list[kind])  # type: ignore[valid-type]
        wrapped = msgspec.defstruct("Wrapped", [(name, list[kind])], forbid_unknown_fields=True)  # type: ignore[valid-type]
        self._wrapped = msgspec.json.Decoder(wrapped)
        self._is_wrapped = re.compile(rb'\s*\{\s*"%s"\s*:' % name.encode()).match

    def decode(self, body: bytes) -> list[T] | None:
        """Return all elements at once, `None` where any of them is wrong."""
        try:
            if self._is_wrapped(body):
                elements: list[T] = getattr(self._wrapped.decode(body), self.name)
            elif body.lstrip()[:1] == b"[":
                elements = self._many.decode(body)
            else:
                elements = [self._one.decode(body)]
        except _FAILED:
            return None
        self._count(elements)
        return elements

    def split(self, body: bytes) -> list[msgspec.Raw]:
        """Return the elements undecoded.

        Raises:
            MalformedError: the body is not JSON.
            NearlineError: it is neither of the three forms, or too long.
        """
        forms = f'send one object, an array of them, or {{"{self.name}": [...]}}'
        text_of(body)
        try:
            whole: dict[str, msgspec.Raw] | list[msgspec.Raw] = msgspec.json.decode(body, type=_SHALLOW)
        except msgspec.ValidationError:
            raise NearlineError("body", shown(_value(body)), forms) from None
        except (msgspec.DecodeError, RecursionError) as error:
            raise MalformedError("body", shown(text_of(body)), f"send valid JSON: {error}") from None
        if isinstance(whole, dict):
            if self.name not in whole:
                return [msgspec.Raw(body)]
            for other in whole.keys() - {self.name}:
                raise NearlineError(other, shown(_value(whole[other])), f'beside "{self.name}" nothing else goes there')
            array = whole[self.name]
            try:
                whole = msgspec.json.decode(array, type=list[msgspec.Raw])
            except msgspec.DecodeError:
                raise NearlineError(self.name, shown(_value(array)), "send an array") from None
        self._count(whole)
        return whole

    def element(self, raw: msgspec.Raw | bytes) -> T:
        """Return one element.

        Raises:
            NearlineError: what is wrong with it, with field, value and remedy.
        """
        try:
            return self._one.decode(raw)
        except _FAILED as error:
            raise explained(error, raw, self.kind) from None

    def _count(self, elements: list[Any]) -> None:
        if not 1 <= len(elements) <= MOST:
            raise NearlineError(self.name, f"{len(elements)} of them", f"send 1 to {MOST:,} at a time")


def explained(error: Exception, raw: msgspec.Raw | bytes, kind: type[Any]) -> NearlineError:
    """Return what a decoder said as field, value and remedy."""
    if not isinstance(error, msgspec.ValidationError):
        return MalformedError("body", shown(bytes(raw).decode("utf-8", "replace")), "send valid JSON in UTF-8")
    text, given = str(error), _value(raw)
    at = _PATH.search(text)
    field = at["path"].replace("[...]", "") if at else ""
    if missing := _MISSING.search(text):
        return NearlineError(_joined(field, missing["name"]), None, "it is required")
    if unknown := _UNKNOWN.search(text):
        name = unknown["name"]
        value = given.get(name) if isinstance(given, dict) else None
        return NearlineError(_joined(field, name), shown(value), f"there is no such field{nearest(name, fields(kind))}")
    value = given
    for part in re.findall(r"[^.\[\]]+", field):
        value = value.get(part) if isinstance(value, dict) else value
    remedy = "give a finite number" if "out of range" in text else text.split(" - at ", maxsplit=1)[0]
    if expected := _EXPECTED.search(text):
        wanted = [_KINDS.get(part, part) for part in expected["wanted"].split(" | ")]
        remedy = f"give {' or '.join(wanted)}, not {_KINDS.get(expected['got'], expected['got'])}"
    return NearlineError(field or "body", shown(value), remedy)


def fields(kind: type[Any]) -> tuple[str, ...]:
    """Return the names of a struct's fields."""
    return tuple(field.encode_name for field in msgspec.structs.fields(kind))


def shown(value: Any) -> Any:
    """Return a value as an error may carry it: short, and such as JSON can hold."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and -(1 << 63) <= value < 1 << 63:
        return value
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 200 else text[:197] + "..."


def text_of(body: bytes) -> str:
    """Return a body as text; raises MalformedError where it is not UTF-8."""
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise MalformedError("body", shown(body.decode("utf-8", "replace")), f"send UTF-8: {error}") from None


def identifier(value: Any, field: str) -> str:
    """Return an id as text: at most 256 characters without NUL; a whole number becomes its digits."""
    if type(value) is str and len(value) <= 256 and "\0" not in value:
        return value
    if type(value) is int:
        return identifier(str(value), field)
    remedy = f"give at most {LONGEST_ID} characters, without NUL" if type(value) is str else "give text or a whole number"
    raise NearlineError(field, shown(value), remedy)


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _value(raw: msgspec.Raw | bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except _FAILED:
        return None
