"""Which columns of somebody's files are ours: `--map user_id=customer,item_id=sku`, or a small TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from nearline.schema.errors import NearlineError

FIELDS = (
    "user_id", "item_id", "event_type", "timestamp", "rating", "value", "price", "session_id", "device", "event_id",
    "category", "brand", "title", "tags", "created_at",
)  # fmt: skip
"""What a column can be."""
_KEYS = {"events", "items", "event_types"}


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """Our names to those of the files.

    Attributes:
        events: for the table of events; a value "=purchase" is no column, but what every row says.
        items: for tables of items.
        event_types: what the file calls an event to what the application does.
        events_file, items_file: names of files; found by their columns where empty.
    """

    events: Mapping[str, str] = field(default_factory=dict)
    items: Mapping[str, str] = field(default_factory=dict)
    event_types: Mapping[str, str] = field(default_factory=dict)
    events_file: str = ""
    items_file: str = ""


def parse_map(text: str) -> ColumnMap:
    """Return the mapping that an option says.

    Args:
        text: `ours=theirs` pairs with commas between, for events and items alike; or the name of a TOML file with the
            tables `[events]` and `[items]` (`ours = "theirs"`, and `file = "name"`) and `[event_types]`.

    Raises:
        NearlineError: it is neither, or names a field that there is not.
    """
    if text.endswith(".toml"):
        return _from_file(Path(text))
    pairs: dict[str, str] = {}
    for part in text.split(","):
        ours, sign, theirs = (side.strip() for side in part.partition("="))
        if not sign or not theirs:
            raise NearlineError("--map", part.strip(), "write ours=theirs, such as user_id=customer, or name a .toml file")
        pairs[_known(ours, "--map")] = theirs
    return ColumnMap(events=pairs, items={ours: name for ours, name in pairs.items() if not name.startswith("=")})


def _from_file(path: Path) -> ColumnMap:
    try:
        said: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise NearlineError("--map", str(path), f"give a readable TOML file: {error}") from error
    if unknown := set(said) - _KEYS:
        raise NearlineError("--map", sorted(unknown), f"use the tables {', '.join(sorted(_KEYS))}")
    parts: dict[str, dict[str, str]] = {key: dict(said.get(key, {})) for key in _KEYS}
    for key, part in parts.items():
        for name, value in part.items():
            if not isinstance(value, str):
                raise NearlineError(f"{key}.{name}", value, "give text")
    files = {key: parts[key].pop("file", "") for key in ("events", "items")}
    for key in ("events", "items"):
        for name in parts[key]:
            _known(name, f"{path.name} [{key}]")
    return ColumnMap(parts["events"], parts["items"], parts["event_types"], files["events"], files["items"])


def _known(name: str, where: str) -> str:
    if name not in FIELDS:
        near = get_close_matches(name, FIELDS, 1)
        raise NearlineError(where, name, f'did you mean "{near[0]}"?' if near else f"use some of {', '.join(FIELDS)}")
    return name
