"""`nearline demo` as a user runs it: a process, a shop, a click, another list; and again from the same folder."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

SIZE = ("--users", "200", "--items", "400", "--days", "7")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start the demo in a folder."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NEARLINE_")}
    return subprocess.Popen(
        [sys.executable, "-m", "nearline.cli", "demo", *SIZE, "--port", str(free_port()), *arguments],
        cwd=folder,
        env={**environment, "COLUMNS": "160"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def lists(text: str) -> tuple[list[str], list[str]]:
    """Return what moved, and the reasons, place by place, from what the demo printed."""
    rows = re.findall(r"^ ?(\d+) .{30} +(new|=|↑\d+|↓\d+) (.*)$", text, re.M)
    return [moved for _, moved, _ in rows], [rest for _, _, rest in rows]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all tests of this module share, so that the second resumes from the first."""
    return tmp_path_factory.mktemp("demo")


def test_first_run_prepares_and_shows_that_a_click_changes_the_list(folder: Path) -> None:
    process = start(folder, "--once")
    text, _ = process.communicate(timeout=240)
    assert process.returncode == 0, text
    assert "simulate days" in text
    assert "trained release r000001" in text or "no release was published" in text
    moved, rest = lists(text)
    assert len(moved) == 10, text
    assert set(moved) != {"="}
    clicked = re.search(r"a click on (.*?), ", text)
    assert clicked
    assert any(clicked[1][:12] in why for why in rest), text
    assert re.search(r"on disk after [\d.]+ ms and in the next list after [\d.]+ ms", text)
    assert "Traceback" not in text
    written = (folder / "demo-data/shop/app.py").read_text()
    assert "App(" in written


def test_second_run_resumes_serves_on_and_stops_cleanly(folder: Path) -> None:
    process = start(folder)
    lines: list[str] = []
    assert process.stdout is not None
    until = time.monotonic() + 120
    for line in process.stdout:
        lines.append(line)
        if "Ctrl-C" in line or time.monotonic() > until:
            break
    shown = "".join(lines)
    assert "resuming" in shown
    assert "simulate days" not in shown
    # The printed commands do what they say.
    ask, tell = (shlex.split(line)[1:] for line in lines if line.startswith("  curl "))
    with urlopen(Request(tell[0], tell[-1].encode(), {"Content-Type": "application/json"}), timeout=10) as answer:
        assert answer.status == 202
    with urlopen(ask[0], timeout=10) as answer:
        assert len(json.load(answer)["items"]) == 10
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0, rest
    assert "everything is saved" in rest
    assert "Traceback" not in shown + rest


def test_another_demo_in_the_same_folder_is_refused(folder: Path) -> None:
    process = start(folder, "--seed", "1", "--once")
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "choose another --path" in text


def test_own_data_gets_an_application_of_its_own(folder: Path) -> None:
    rows = [f"u{n % 40},p{(n * 7) % 90},{1_700_000_000 + 600 * n},buy now,{n % 9}" for n in range(2_000)]
    (folder / "own.csv").write_text("user_id,item_id,timestamp,event_type,category\n" + "\n".join(rows))
    process = start(folder, "--data", "own.csv", "--once")
    text, _ = process.communicate(timeout=240)
    assert process.returncode == 0, text
    assert 'EventType("buy now", weight=1, role="click", outcome=True)' in (folder / "demo-data/own/app.py").read_text()
    assert len(lists(text)[0]) == 10, text
