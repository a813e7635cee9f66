"""Adapters by the scheme of a URL, which is the name of their file in the package of their port."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from types import ModuleType

from nearline.schema.errors import NearlineError


def schemes(port: ModuleType) -> list[str]:
    """Return the schemes that a port has adapters for.

    Args:
        port: the package that holds them.
    """
    return sorted(module.name for module in pkgutil.iter_modules(port.__path__) if not module.name.startswith("_"))


def scheme_of(url: str) -> str:
    """Return the scheme of a URL, without what may be behind a plus sign."""
    return url.partition(":")[0].partition("+")[0].lower()


def shown(url: str) -> str:
    """Return a URL as it may be printed: without names, passwords and parameters."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2].partition('?')[0]}"


def check_scheme(port: ModuleType, setting: str, url: str, besides: str = "") -> None:
    """Check that a port has an adapter for a URL.

    Args:
        port: the package that holds the adapters.
        setting: where the URL stands, such as "storage.log".
        url: such as "kafka://127.0.0.1:9092".
        besides: what may be named there that needs no adapter, such as "memory:".

    Raises:
        NearlineError: it has none.
    """
    if scheme_of(url) not in (there := schemes(port)):
        names = [*([besides] if besides else []), *(f"{name}:" for name in there)]
        raise NearlineError(setting, shown(url), f"use one of {', '.join(names)}")


def adapter(port: ModuleType, setting: str, url: str, besides: str = "") -> ModuleType:
    """Return the file of the adapter that a URL means; arguments as of `check_scheme`.

    Raises:
        NearlineError: no such adapter, or its client is not installed.
    """
    check_scheme(port, setting, url, besides)
    scheme = scheme_of(url)
    try:
        return import_module(f"{port.__name__}.{scheme}")
    except ImportError as error:
        remedy = f'its client is not installed ({error.name}): pip install "nearline[{scheme}]"'
        raise NearlineError(setting, shown(url), remedy) from error
