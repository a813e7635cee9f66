"""Loading and starting: mistakes in app.py name file and line, and the starter runs as written."""

from __future__ import annotations

from pathlib import Path

import pytest

from nearline import Category, NearlineError
from nearline.app.load import load_app
from nearline.app.settings import Settings, load_settings
from nearline.app.starter import write_starter

IMPORT = "from nearline import App, EventType\n"
GOOD = IMPORT + "app = App(events=['click'])\n"


def write(folder: Path, text: str, name: str = "app.py") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


WRONG = [
    ("", ":1", "no App", "define it: app = App("),
    ("x = 1\n", ":1", "no App", "define it"),
    ("x = 1\n\napp = 3\n", ":3", "int", "let `app` be an App"),
    (IMPORT + "a = App(events=['x'])\nb = App(events=['x'])\n", ":3", "['a', 'b']", "call the one to use"),
    ("x = 1\ny = = 2\n", ":2", "invalid syntax", "mend the Python"),
    ("x = 1\n\ny = z\n", ":3", "NameError: name 'z'", "mend that line"),
    ("import numpy\nimport no_such_module_at_all\n", ":2", "no_such_module_at_all", "install what holds"),
    ("from nearline import Ap\n", ":1", "ImportError", "mend that line"),
    ("import sys\nsys.exit(2)\n", ":2", "exit(2)", "don't exit"),
    (IMPORT + "\n\napp = App(\n  events=['click', ''])\n", ":4: App.events[1].name", "''", "give a name"),
    (
        IMPORT + "def make():\n  return App(events=[EventType('a', role='clik')])\napp = make()\n",
        ':3: App.events["a"].role',
        "'clik'",
        'did you mean "click"?',
    ),
]


@pytest.mark.parametrize(("text", "where", "value", "remedy"), WRONG)
def test_a_wrong_file_names_file_line_and_remedy(tmp_path: Path, text: str, where: str, value: str, remedy: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(NearlineError) as caught:
        load_app(path)
    assert caught.value.field == f"{path}{where}"
    assert value in str(caught.value)
    assert remedy in caught.value.remedy


def test_a_missing_file_names_the_remedy(tmp_path: Path) -> None:
    for path in (tmp_path / "none.py", tmp_path):
        with pytest.raises(NearlineError, match="nearline init"):
            load_app(path)


def test_an_app_is_found_by_name_or_alone_and_an_edit_is_seen(tmp_path: Path) -> None:
    assert load_app(write(tmp_path, GOOD)).outcomes == ("click",)
    assert load_app(tmp_path).outcomes == ("click",)
    write(tmp_path, GOOD.replace("click", "catch"))
    assert load_app(tmp_path).outcomes == ("catch",)
    assert load_app(write(tmp_path, GOOD.replace("app =", "shop = other ="))).outcomes == ("click",)
    assert load_app(write(tmp_path, GOOD + "old = App(events=['x'])\n")).outcomes == ("click",)


def test_an_app_may_import_its_neighbours_and_define_dataclasses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    write(tmp_path, "NAMES = ['click', 'like']\n", "neighbour_of_the_app.py")
    text = (
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\nfrom neighbour_of_the_app import NAMES\n"
        + IMPORT
        + "@dataclass\nclass C:\n    n: int = 1\napp = App(events=NAMES)\n"
    )
    assert load_app(write(tmp_path, text)).outcomes == ("click", "like")


def test_the_starter_loads_and_is_never_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "shop"
    files = write_starter(folder)
    assert [file.name for file in files] == ["app.py", "nearline.toml"]
    app = load_app(folder)
    assert app.name == "shop"
    assert app.outcomes == ("click", "purchase")
    assert app.weights == {"click": 1.0, "purchase": 8.0}
    assert isinstance(app.attributes["color"], Category)
    assert load_settings(folder / "nearline.toml", {}) == Settings()
    (folder / "app.py").unlink()
    with pytest.raises(NearlineError, match="nothing was written") as caught:
        write_starter(folder)
    assert caught.value.value == ["nearline.toml"]
    assert not (folder / "app.py").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(NearlineError, match="may write to"):
        write_starter(tmp_path / "file")
