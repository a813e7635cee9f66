"""Settings as text: the commented `nearline.toml` and the reference page, both made from the structs."""

from __future__ import annotations

import json
import re
from itertools import groupby

from nearline.app.sections import Settings
from nearline.app.settings_keys import SettingKey, section_summaries, setting_keys

HEAD = """\
# Settings of Nearline. Every key is here with its value; remove what you don't change.
# Each can be set in the environment too: NEARLINE_<SECTION>_<KEY>, such as NEARLINE_SERVER_PORT=9000.
"""

PAGE = """\
# Settings

Nearline reads `nearline.toml`, then the environment: `NEARLINE_<SECTION>_<KEY>` overrides a key, such as
`NEARLINE_SERVER_PORT=9000`. A list is written `a,b` there, a table `name=1,other=2`, a table of tables as JSON. An
unknown key or a wrong value stops the start, with the file, the key and what to do. `nearline init` writes the whole file.

This page is generated from `nearline.app.sections`; a test fails when it is stale.
"""


def settings_toml(settings: Settings | None = None) -> str:
    """Return a whole `nearline.toml`: every key with its description and value, by default the default."""
    chosen, summaries = settings or Settings(), section_summaries()
    parts = [HEAD]
    for section, keys in groupby(setting_keys(), key=lambda key: key.section):
        parts.append(f"\n[{section}]\n# {summaries[section]}\n")
        # A table must follow the plain keys of its section, or it would swallow them.
        parts += [
            _entry(key, getattr(getattr(chosen, section), key.name)) for key in sorted(keys, key=lambda key: key.kind is dict)
        ]
    return "".join(parts)


def settings_table() -> str:
    """Return the reference page of all settings, in Markdown."""
    parts, summaries = [PAGE], section_summaries()
    for section, keys in groupby(setting_keys(), key=lambda key: key.section):
        parts.append(f"\n## [{section}]\n\n{summaries[section]}\n\n")
        parts.append("| key | default | values | what it does |\n| --- | --- | --- | --- |\n")
        for key in keys:
            cells = (f"`{key.name}`", f"`{toml_value(key.default)}`", key.wanted, key.description)
            parts.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n")
    return "".join(parts)


def toml_value(value: object) -> str:
    """Return a setting's value as TOML on one line.

    Raises:
        TypeError: the value is of a type that no setting has.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(int(value) if value == int(value) else value)
    if isinstance(value, str):
        # A JSON string is a TOML basic string but for DEL, which TOML wants escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, tuple):
        return "[" + ", ".join(toml_value(each) for each in value) + "]"
    if isinstance(value, dict):
        entries = ", ".join(f"{_name(name)} = {toml_value(each)}" for name, each in value.items())
        return "{ " + entries + " }" if entries else "{}"
    raise TypeError(f"no TOML for {type(value).__name__}")


def _entry(key: SettingKey, value: object) -> str:
    comment = f"\n# {key.description} ({key.wanted})\n"
    if isinstance(value, dict):
        rows = "".join(f"{_name(name)} = {toml_value(each)}\n" for name, each in value.items())
        return f"{comment}[{key.path}]\n{rows}"
    return f"{comment}{key.name} = {toml_value(value)}\n"


def _name(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else toml_value(name)
