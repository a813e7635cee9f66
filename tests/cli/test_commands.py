"""The commands as a stranger meets them: help with an example, errors with a remedy, and a README that is true."""

from __future__ import annotations

import io
import re
import shlex
import socket
import sys
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from nearline import App
from nearline.batch.importers import load_dataset
from nearline.cli.main import cli, main
from nearline.cli.walk import About, Place, by_hand, compare, pick

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = typer.main.get_command(cli).commands  # type: ignore[attr-defined]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command in this process and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["nearline", *arguments])
    monkeypatch.setenv("COLUMNS", "400")
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_says_what_it_does_with_an_example(name: str) -> None:
    text = COMMANDS[name].help
    assert f"Example: nearline {name}" in text
    known = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    example = shlex.split(text.split("Example: nearline ")[1])[1:]
    assert {word for word in example if word.startswith("--")} <= known
    assert CliRunner().invoke(cli, [name, "--help"]).exit_code == 0


def test_init_then_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "init", "shop") == 0
    assert {path.name for path in (tmp_path / "shop").iterdir()} == {"app.py", "nearline.toml"}
    assert run(monkeypatch, "init", "shop") == 2
    assert "nothing was written" in capsys.readouterr().err
    (tmp_path / "data.csv").write_text(
        "user_id,item_id,timestamp\n" + "".join(f"u{n % 7},i{n % 5},{1_700_000_000 + n}\n" for n in range(50))
    )
    assert run(monkeypatch, "import", "data.csv", "--app", "shop") == 0
    assert run(monkeypatch, "status", "--app", "shop") == 0
    out = capsys.readouterr().out
    assert "user_events" in out
    assert "50" in out
    assert "release in service: none" in out


@pytest.mark.parametrize(
    ("arguments", "files", "says"),
    [
        (["serve"], {}, ["--app = 'app.py'", "nearline init"]),
        (["status"], {"app.py": "app = 1"}, ["app.py:1", "let `app` be an App"]),
        (["status"], {"app.py": "from nearline import App\napp = App(events=['view', 'view'])"},
         ["app.py:2", "declare each event type once"]),
        (["status"], {"app.py": "from nearline import App\napp = App(events=['view'])", "nearline.toml": "[server]\nprot = 1"},
         ["nearline.toml: server.prot = 1", "did you mean port"]),
        (["import", "nowhere"], {"app.py": "from nearline import App\napp = App(events=['view'])"},
         ["folder = 'nowhere'", "that exists"]),
        (["demo", "--data", "nowhere"], {}, ["folder = 'nowhere'", "that exists"]),
        (["simulate"], {}, ["--against", "--out FOLDER"]),
        (["simulate", "--against", "http://127.0.0.1:9"], {}, ["nothing answers there"]),
    ],
)  # fmt: skip
def test_mistakes_are_one_line_with_a_remedy(
    arguments: list[str],
    files: dict[str, str],
    says: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert run(monkeypatch, *arguments) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error:")
    assert "\n" not in error
    for part in says:
        assert part in error


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_a_taken_port_is_named_with_its_setting_before_the_long_work(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.py").write_text("from nearline import App\napp = App(events=['view'])")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        monkeypatch.setenv("NEARLINE_SERVER_PORT", port)
        monkeypatch.setenv("NEARLINE_STORAGE_PATH", str(tmp_path / "state"))
        assert run(monkeypatch, command) == 2
    error = capsys.readouterr().err
    assert f"server.port = {port}" in error
    assert "[server] port in nearline.toml" in error
    assert "simulate days" not in error


def test_simulate_writes_files_that_import_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    size = ("--days", "2", "--users", "50", "--items", "60")
    assert run(monkeypatch, "simulate", "--out", "table", *size) == 0
    assert run(monkeypatch, "simulate", "--out", "lines", "--format", "jsonl", *size) == 0
    assert run(monkeypatch, "simulate", "--out", "table", *size) == 2
    lines = [msgspec.json.decode(line) for line in Path("lines/events.jsonl").read_bytes().splitlines()]
    table = pq.read_table("table/events.parquet")
    assert table["event_id"].to_pylist() == [event["event_id"] for event in lines]
    dataset = load_dataset(Path("table"))
    assert dataset.events.num_rows == sum("item_id" in event for event in lines)
    assert len(dataset.items) == 60
    assert all(item.title and item.category and item.tags for item in dataset.items)


def test_the_walk_clicks_something_foreign_and_says_what_moved() -> None:
    def place(name: str, category: str = "") -> Place:
        return Place(name, metadata=About(f"The {name}", category))

    shown = [place("a", "Home > Lamps"), place("b", "Toys > Games")]
    near, far = place("c", "Toys > Bricks"), place("d", "Pets > Cats")
    assert pick(shown, [*shown, near, far], ["Home > Mugs"]) == far
    assert pick(shown, [*shown, near], ["Pets > Cats"]) == near
    assert pick(shown, [place("e")], []).item_id == "e"
    assert pick(shown, shown, []) == shown[1]

    out = Console(width=80, record=True, file=io.StringIO())
    out.print(compare([place("a"), place("b"), place("c")], [place("c"), place("d"), place("a")]))
    rows = [line.split() for line in out.export_text().splitlines() if line[:2].strip().isdigit()]
    assert [row[3] for row in rows] == ["↑2", "new", "↓2"]


def test_commands_by_hand_survive_any_id() -> None:
    ask, tell = by_hand("o'hara & co", "i'1", "http://127.0.0.1:1")
    assert shlex.split(ask)[1].endswith("?user_id=o%27hara+%26+co&page_size=10")
    assert msgspec.json.decode(shlex.split(tell)[-1])["item_id"] == "i'1"
    assert "Content-Type: application/json" in shlex.split(tell)


def test_the_readme_defines_an_application_and_names_only_what_there_is() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    assert blocks
    for block in blocks:
        names: dict[str, Any] = {}
        exec(compile(block, "README.md", "exec"), names)
        assert isinstance(names["app"], App)
    assert set(re.findall(r"nearline ([a-z]+)", "\n".join(re.findall(r"`[^`\n]+`", README)))) <= set(COMMANDS)
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"make ([a-z]+)", "\n".join(re.findall(r"`[^`\n]+`", README)))) <= targets
    for folder in re.findall(r"^\| `(src/[a-z/]+|tests/|benchmarks/|docs/[a-z/]*)`", README, re.M):
        assert (ROOT / folder).exists(), folder


def test_the_lock_files_hold_hashes_and_no_addresses() -> None:
    for name in ("base", "dev", "setup"):
        text = (ROOT / "requirements" / f"{name}.txt").read_text()
        assert text.count("--hash=sha256:") >= text.count("==") > 0
        assert not re.search(r"://|(^|\s)(/|file:|-e )", text, re.M)
    locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements" / "dev.txt").read_text(), re.M))
    wanted = set(re.findall(r'^    "([A-Za-z0-9-]+)[>=]', (ROOT / "pyproject.toml").read_text(), re.M))
    assert wanted <= locked
