"""Settings: read from `nearline.toml`, then from the environment, and checked before anything starts."""

from __future__ import annotations

import ipaddress
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from nearline.app.nearest import nearest
from nearline.app.sections import Settings, parse_duration
from nearline.app.settings_keys import SettingKey, setting_keys
from nearline.app.settings_text import settings_table, settings_toml
from nearline.schema.errors import NearlineError
from nearline.schema.query import SURFACES
from nearline.stores import buckets, logs, results, users, vectors
from nearline.stores.adapters import check_scheme, scheme_of, shown

__all__ = ["Settings", "load_settings", "parse_duration", "settings_table", "settings_toml"]

PREFIX = "NEARLINE_"
HIDDEN = "(hidden)"
OBJECTS = ("lake", "releases")
"""Settings of stores of objects."""
_KUBERNETES = re.compile(r"_SERVICE_(HOST|PORT)(_|$)|_PORT_\d+_(TCP|UDP|SCTP)(_|$)")


class _Given:
    """Values as they were given, checked one by one, and where each came from."""

    def __init__(self, path: Path | None) -> None:
        self.file = str(path) if path else "settings"
        self.keys = {key.path: key for key in setting_keys()}
        self.values: dict[str, dict[str, Any]] = {}
        self.origin: dict[str, str] = {}

    def put(self, key: SettingKey, value: object, origin: str, strict: bool = True) -> None:
        """Check a value and keep it; a table is merged over the default."""
        shown = HIDDEN if key.secret else value
        wrong = NearlineError(origin, shown, f"give {key.wanted}. {key.description}")
        try:
            checked = msgspec.convert(value, key.annotation, strict=strict)
        except msgspec.ValidationError as error:
            raise wrong from error
        if isinstance(checked, dict):
            checked = {**self.values.get(key.section, {}).get(key.name, key.default), **checked}
        self.values.setdefault(key.section, {})[key.name] = checked
        self.origin[key.path] = origin

    def name(self, path: str) -> str:
        """Return how to call a key in an error: by the file or the variable that set it."""
        return self.origin.get(path, f"{self.file}: {path}")


def load_settings(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """Read and check the settings.

    Args:
        path: the TOML file, or None for defaults and the environment only.
        environ: variables; those named `NEARLINE_<SECTION>_<KEY>` override the file.

    Raises:
        NearlineError: a file that can't be read, an unknown key, a wrong type or value, or keys that
            contradict each other; it names file (or variable), key, value and remedy.
    """
    given = _Given(path)
    if path is not None:
        _read_file(given, path)
    _read_environment(given, environ)
    settings = msgspec.convert(given.values, Settings)
    _check(settings, given)
    return settings


def _read_file(given: _Given, path: Path) -> None:
    try:
        # Some editors begin a file with a byte order mark, which TOML does not allow.
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        remedy = "give the path of a nearline.toml; `nearline init` writes one"
        raise NearlineError(str(path), error.strerror, remedy) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise NearlineError(str(path), str(error), "mend the TOML at that place (UTF-8)") from error
    sections = {key.section for key in given.keys.values()}
    for section, table in document.items():
        if section not in sections:
            near = nearest(section, sections)
            raise NearlineError(f"{path}: {section}", table, f"there is no such section: {near}")
        if not isinstance(table, dict):
            raise NearlineError(f"{path}: {section}", table, f"write it as a section: [{section}]")
        for name, value in table.items():
            key = given.keys.get(f"{section}.{name}")
            if key is None:
                names = [key.name for key in given.keys.values() if key.section == section]
                remedy = f"there is no such key: {nearest(name, names)}"
                raise NearlineError(f"{path}: {section}.{name}", _shown(name, value), remedy)
            given.put(key, value, f"{path}: {key.path}")


def _read_environment(given: _Given, environ: Mapping[str, str]) -> None:
    variables = {key.variable: key for key in given.keys.values()}
    for name in sorted(environ):
        text = environ[name]
        if not name.startswith(PREFIX):
            continue
        # Kubernetes announces a service called "nearline-..." in such variables; they are no settings.
        if name.endswith("_PORT") and re.match(r"(tcp|udp|sctp)://", text):
            continue
        key = variables.get(name)
        if key is None:
            if _KUBERNETES.search(name):
                continue
            remedy = f"there is no such setting: {nearest(name, variables)}"
            raise NearlineError(name, _shown(name, text), remedy)
        value = _from_text(key, text)
        given.put(key, value, name, strict=False)


def _from_text(key: SettingKey, text: str) -> object:
    if key.kind not in (tuple, dict):
        return text if key.kind is str else text.strip()
    if text.strip().startswith(("[", "{")):
        try:
            return json.loads(text)
        except ValueError:
            return text
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if key.kind is tuple:
        return parts
    pairs = [part.partition("=") for part in parts]
    return {name.strip(): value.strip() for name, _, value in pairs}


def _shown(name: str, value: object) -> object:
    """Return a value as an error may show it: a mistyped name may carry a secret."""
    return HIDDEN if re.search("key|token|secret|password", name, re.IGNORECASE) else value


def _check(settings: Settings, given: _Given) -> None:
    """Check what no single key can tell."""

    def refuse(path: str, value: object, remedy: str) -> None:
        raise NearlineError(given.name(path), value, remedy)

    for key in OBJECTS:
        check_scheme(buckets, given.name(f"storage.{key}"), getattr(settings.storage, key))
    check_scheme(logs, given.name("storage.log"), settings.storage.log)
    if (own := settings.storage.state) != "memory:":
        check_scheme(users, given.name("storage.state"), own, "memory:")
        if scheme_of(settings.storage.log) == "sqlite":
            refuse(
                "storage.state",
                shown(own),
                "rows in a store are moved by nearline stream, which follows a shared log: set storage.log too",
            )
    check_scheme(vectors, given.name("storage.vectors"), settings.storage.vectors)
    if settings.storage.results:
        check_scheme(results, given.name("storage.results"), settings.storage.results)
    for url in settings.publish.to:
        check_scheme(results, given.name("publish.to"), url)
    train, state, budget, keep = settings.train, settings.state, settings.budget, settings.retention
    every = parse_duration(train.every, given.name("train.every"))
    if train.every.strip() and every < 60_000:
        refuse("train.every", train.every, 'train at most once a minute, "1m"; "" turns it off')
    if train.evaluate_days >= train.days:
        refuse("train.evaluate_days", train.evaluate_days, f"keep it below train.days ({train.days})")
    if keep.lake_days < keep.log_days:
        refuse("retention.lake_days", keep.lake_days, f"keep at least retention.log_days ({keep.log_days})")
    if train.days > keep.lake_days:
        refuse("train.days", train.days, f"keep it within retention.lake_days ({keep.lake_days})")
    if state.hot_ttl_hours > state.history_ttl_days * 24:
        refuse("state.hot_ttl_hours", state.hot_ttl_hours, "keep it within state.history_ttl_days")
    stages = budget.candidates_ms + budget.features_ms + budget.ranking_ms + budget.rules_ms
    if stages > budget.total_ms:
        refuse("budget.total_ms", budget.total_ms, f"give at least the sum of the stages, {stages:g}")
    if settings.candidates.ranked > settings.candidates.limit:
        most = settings.candidates.limit
        refuse("candidates.ranked", settings.candidates.ranked, f"keep it within candidates.limit ({most})")
    for path, surfaces in (
        ("candidates.surfaces", settings.candidates.surfaces),
        ("publish.surfaces", settings.publish.surfaces),
    ):
        for surface in surfaces:
            if surface not in SURFACES:
                refuse(path, surface, f"there is no such surface: {nearest(surface, SURFACES)}")
    if not settings.publish.surfaces:
        refuse("publish.surfaces", (), 'name at least one, such as ["homepage"]')
    if not _loopback(settings.server.host) and not settings.server.api_key.strip():
        remedy = f"set a key (NEARLINE_SERVER_API_KEY), since host {settings.server.host} is not loopback"
        refuse("server.api_key", settings.server.api_key, f'{remedy}, or listen on "127.0.0.1"')


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
