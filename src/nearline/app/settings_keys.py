"""Each setting as a value: its place, type, default and description, read from the structs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from nearline.app.sections import Settings


@dataclass(frozen=True, slots=True)
class SettingKey:
    """One key of one section.

    Attributes:
        section: such as `server`.
        name: such as `port`.
        annotation: its type with limits, as msgspec reads it.
        default: used when it is not set.
        description: one line.
        secret: whether its value must not be shown.
    """

    section: str
    name: str
    annotation: Any
    default: Any
    description: str
    secret: bool

    @property
    def path(self) -> str:
        """Return `section.name`."""
        return f"{self.section}.{self.name}"

    @property
    def variable(self) -> str:
        """Return the environment variable that overrides it."""
        return f"NEARLINE_{self.section}_{self.name}".upper()

    @property
    def kind(self) -> Any:
        """Return the bare type: `int`, `str`, `tuple`, `dict`, `Literal`, ..."""
        return _bare(self.annotation)

    @property
    def wanted(self) -> str:
        """Return in words which values are right."""
        return _words(self.annotation)


@cache
def setting_keys() -> tuple[SettingKey, ...]:
    """Return every key of every section, in the order of the file."""
    defaults = Settings()
    out = []
    for section, kind in get_type_hints(Settings).items():
        values = getattr(defaults, section)
        for name, annotation in get_type_hints(kind, include_extras=True).items():
            about = _meta(annotation)
            secret = bool((about.extra or {}).get("secret"))
            default = getattr(values, name)
            out.append(SettingKey(section, name, annotation, default, about.description or "", secret))
    return tuple(out)


def section_summaries() -> dict[str, str]:
    """Return the name of each section with its one-line description."""
    return {name: (kind.__doc__ or "").strip().splitlines()[0] for name, kind in get_type_hints(Settings).items()}


def _meta(annotation: Any) -> msgspec.Meta:
    if get_origin(annotation) is Annotated:
        return next(m for m in annotation.__metadata__ if isinstance(m, msgspec.Meta))
    return msgspec.Meta()


def _bare(annotation: Any) -> Any:
    if get_origin(annotation) is Annotated:
        annotation = annotation.__origin__
    return get_origin(annotation) or annotation


def _words(annotation: Any) -> str:
    about, kind = _meta(annotation), _bare(annotation)
    inner = annotation.__origin__ if get_origin(annotation) is Annotated else annotation
    if kind is Literal:
        return " or ".join(f'"{choice}"' for choice in get_args(inner))
    if kind is dict:
        return f"a table of names, each with {_words(get_args(inner)[1])}"
    if kind in (int, float):
        return _number("a whole number" if kind is int else "a number", about)
    if kind is tuple:
        return f"a list of {_meta(get_args(inner)[0]).description}"
    text = "text that is not empty" if about.min_length else "text"
    return {bool: "true or false", str: text}[kind]


def _number(text: str, about: msgspec.Meta) -> str:
    high = f"{about.le:,}" if about.le is not None else ""
    if about.gt is not None:
        return f"{text} above {about.gt:,}" + (f", up to {high}" if high else "")
    if about.ge is None:
        return text
    return f"{text} from {about.ge:,} to {high}" if high else f"{text}, {about.ge:,} or more"
