"""Loading an application: one Python file that defines `app`."""

from __future__ import annotations

import ast
import hashlib
import sys
import traceback
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from nearline.app.definition import App
from nearline.schema.errors import NearlineError

EXAMPLE = 'app = App(events=["view", "click"])'


def load_app(path: Path | str) -> App:
    """Run a file and return its `app`, or the only App in it.

    The file's folder is put at the end of the import path, so that it may import its neighbours.

    Args:
        path: a Python file, or a folder with an `app.py`.

    Raises:
        NearlineError: no such file, a mistake in it (with its line), no App or several.
    """
    file = Path(path)
    if file.is_dir():
        file = file / "app.py"
    try:
        source = file.read_bytes()
    except OSError as error:
        remedy = "give the path of your app.py; `nearline init` writes one"
        raise NearlineError(str(file), error.strerror, remedy) from error
    module = _run(file, source)
    found = {name: value for name, value in vars(module).items() if isinstance(value, App)}
    named = getattr(module, "app", None)
    if isinstance(named, App):
        return named
    if named is not None:
        where = f"{file}:{_line(source, 'app')}"
        raise NearlineError(where, type(named).__name__, f"let `app` be an App: {EXAMPLE}")
    if not found:
        raise NearlineError(f"{file}:1", "no App", f"define it: {EXAMPLE}")
    if len({id(each) for each in found.values()}) > 1:
        names = list(found)
        raise NearlineError(f"{file}:{_line(source, names[-1])}", names, "call the one to use `app`")
    return next(iter(found.values()))


def _run(file: Path, source: bytes) -> ModuleType:
    place = str(file.resolve())
    name = f"nearline_app_{hashlib.sha256(place.encode()).hexdigest()[:12]}"
    spec = spec_from_file_location(name, place)
    if spec is None:
        raise NearlineError(str(file), file.suffix, "give a Python file, ending in .py")
    module = module_from_spec(spec)
    folder = str(file.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    before = sys.modules.get(name)
    # Registered while it runs and after: dataclasses and pickles look their module up.
    sys.modules[name] = module
    try:
        # Compiled from the source and not through the import system, so that an edit within a second is seen.
        exec(compile(source, place, "exec"), vars(module))
    except (Exception, SystemExit) as error:
        sys.modules.pop(name)
        if before is not None:
            sys.modules[name] = before
        raise _explain(file, place, error) from error
    return module


def _explain(file: Path, place: str, error: BaseException) -> NearlineError:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == place]
    where = f"{file}:{lines[-1] if lines else 1}"
    if isinstance(error, NearlineError):
        return NearlineError(f"{where}: {error.field}", error.value, error.remedy)
    if isinstance(error, SyntaxError) and error.filename == place:
        return NearlineError(f"{file}:{error.lineno}", error.msg, "mend the Python on that line")
    if isinstance(error, SystemExit):
        return NearlineError(where, f"exit({error.code})", "don't exit: the file is only to define `app`")
    if isinstance(error, ModuleNotFoundError):
        remedy = f"install what holds {error.name!r}, or put {error.name}.py beside the file"
        return NearlineError(where, str(error), remedy)
    return NearlineError(where, f"{type(error).__name__}: {error}", "mend that line; the file must run by itself")


def _line(source: bytes, name: str) -> int:
    """Return the line of the last assignment to a name, 1 when there is none."""
    lines = [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store)
    ]
    return max(lines, default=1)
