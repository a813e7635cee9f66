"""The adapter of the how-to page is put in place, with its server, and inherits the contract."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLUGIN = """
from nearline.stores import users
users.__path__.append({folder!r})
{entry}
"""


def test_the_adapter_of_the_page_keeps_the_contract(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "add-an-adapter.md").read_text()
    adapter, entry = re.findall(r"```python\n(.*?)```", page, re.S)
    folder = tmp_path / "users"
    folder.mkdir()
    (folder / "sqlite.py").write_text(adapter)
    (tmp_path / "added.py").write_text(PLUGIN.format(folder=str(folder), entry=entry))
    paths = os.pathsep.join([str(tmp_path), str(ROOT), *sys.path])
    run = [sys.executable, "-m", "pytest", "-p", "added", "-p", "no:cacheprovider", "-k", "sqlite or tested", "-rp"]
    done = subprocess.run(
        [*run, str(ROOT / "tests/stores/test_user_rows.py")],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    passed = re.findall(r"PASSED \S+::(test_\w+)", done.stdout)
    assert {"test_a_row_never_goes_back", "test_what_a_store_lost_is_not_hidden_by_what_is_written_next"} <= set(passed)
    assert len(passed) >= 7
