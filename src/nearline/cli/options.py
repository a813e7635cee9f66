"""Options that every command has: which application, which settings, which folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from nearline.app.load import load_app
from nearline.app.settings import load_settings
from nearline.app.tenant import Tenant
from nearline.schema.errors import NearlineError

AppFile = Annotated[Path, typer.Option("--app", help="The application: a Python file, or a folder with app.py.")]
Config = Annotated[Path | None, typer.Option("--config", help="Settings; nearline.toml beside the application by default.")]
HERE = Path("app.py")


def tenant_of(app: Path = HERE, config: Path | None = None) -> Tenant:
    """Return the tenant that the options name.

    Raises:
        NearlineError: the application or a setting is wrong or missing.
    """
    if not app.exists():
        raise NearlineError("--app", str(app), "name the application, or write a starter with `nearline init .`")
    folder = app if app.is_dir() else app.parent
    beside = folder / "nearline.toml"
    path = config if config is not None else beside if beside.exists() else None
    settings = load_settings(path, os.environ)
    # Wherever a command is started: the same application, the same data.
    storage = msgspec.structs.replace(settings.storage, path=str(folder.absolute() / settings.storage.path))
    return Tenant(load_app(app), msgspec.structs.replace(settings, storage=storage))


def arguments_of(app: Path, config: Path | None) -> list[str]:
    """Return the options as command line arguments, for child processes."""
    found = ["--app", str(app.resolve())]
    return found if config is None else [*found, "--config", str(config.resolve())]
