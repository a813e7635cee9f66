"""Discovery finds each component once, by name, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from nearline.pipeline.discovery import discover
from nearline.schema.errors import NearlineError

GOOD = """
from typing import Protocol
class Zulu:
    name = "a_zulu"
    def fetch(self): ...
class Alpha(Zulu):
    name = "b_alpha"
    def __init__(self, n=1, *rest, **more): ...
class Needs(Zulu):
    name = "needs"
    def __init__(self, n): ...
class Nameless:
    name = ""
    def fetch(self): ...
class Numbered(Zulu):
    name = 3
class Other:
    name = "other"
class Shape(Protocol):
    name = "shape"
    def fetch(self): ...
class _Hidden(Zulu):
    name = "hidden"
"""


def package(folder: Path, name: str, **modules: str) -> str:
    (folder / name).mkdir()
    for module, text in {"__init__": "", **modules}.items():
        (folder / name / f"{module}.py").write_text(text)
    return name


def test_components_are_found_by_what_they_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    name = package(tmp_path, "found_package", one=GOOD, two="from found_package.one import Alpha, Zulu")
    assert list(discover(name, ("name", "fetch"))) == ["a_zulu", "b_alpha"]
    assert discover(name, ("fetch", "columns")) == {}
    assert "other" in discover(name, ("name",))


def test_two_of_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    name = package(tmp_path, "twice_package", one=GOOD, two=GOOD)
    with pytest.raises(NearlineError, match=r"rename one: twice_package\.one and twice_package\.two") as caught:
        discover(name, ("name", "fetch"))
    assert (caught.value.field, caught.value.value) == ("Zulu.name", "a_zulu")
