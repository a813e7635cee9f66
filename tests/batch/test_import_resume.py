"""An import that is killed goes on when it is started again: a real process, really killed, and nothing twice."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest

from nearline.app.load import load_app
from nearline.app.settings import load_settings
from nearline.app.tenant import IMPORTING, Tenant
from nearline.batch.importers import load_dataset
from nearline.batch.importing import import_dataset
from nearline.schema.errors import NearlineError
from nearline.schema.served import Impression

USERS, STEPS, ITEMS = 200, 12, 6_000
APP = "from nearline import App\napp = App(events=['interaction', 'clickout', 'lookup'])"
PIECES = """
import sys
import nearline.batch.importing as importing
importing.CHUNK, importing.ITEMS = 300, 500
from nearline.cli import main
sys.argv[0] = "nearline"
main()
"""


def history(folder: Path) -> Path:
    """Write searches with click-outs over twelve days, so that items, events and lists are all written in many pieces."""
    folder.mkdir()
    rng, at = random.Random(3), 1_700_000_000
    lines = ["user_id,session_id,timestamp,step,action_type,reference,platform,city,device,current_filters,impressions,prices"]
    for user in range(USERS):
        for step in range(STEPS):
            shown = [str(rng.randrange(1, ITEMS)) for _ in range(5)]
            action = "clickout item" if step % 2 else "interaction item image"
            more = f"{'|'.join(shown)},{'|'.join('9' * 5)}" if step % 2 else ","
            lines.append(f"u{user},s{user},{at + step * 86_400 + user},{step},{action},{shown[0]},DE,B,mobile,,{more}")
    (folder / "train.csv").write_text("\n".join(lines) + "\n")
    known = "\n".join(f"{item},WiFi|Pool" for item in range(1, ITEMS))
    (folder / "item_metadata.csv").write_text("item_id,properties\n" + known + "\n")
    return folder


def tenant_in(folder: Path) -> Tenant:
    return Tenant(load_app(folder / "app.py"), load_settings(None, {"NEARLINE_STORAGE_PATH": str(folder / "data")}))


def start(data: Path, folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", PIECES, "import", str(data), "--app", str(folder / "app.py")]
    with (folder / "output.txt").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env=None)


def progress(tenant: Tenant) -> tuple[int, int, int]:
    """Return how many items, events and lists are durable, read beside the process that writes."""
    items = 0
    if (tenant.folder / "log.sqlite").exists() and (tenant.folder / IMPORTING).exists():
        log = tenant.log(read_only=True, importing=True)
        items = log.end("item_events")
        log.close()
    return items, tenant.lake.end("user_events"), tenant.lake.end("feedback")


def test_killed_again_and_again_it_ends_with_everything_once(tmp_path: Path) -> None:
    data = history(tmp_path / "data-set")
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "app.py").write_text(APP)
    (folder / "nearline.toml").write_text('[storage]\npath = "data"\n')
    tenant, seen = tenant_in(folder), []
    for wanted in ((1, 0, 0), (1, 600, 0), (1, 1, 1)):
        process = start(data, folder)
        until = time.monotonic() + 120
        while process.poll() is None and any(have < want for have, want in zip(progress(tenant), wanted, strict=True)):
            assert time.monotonic() < until
            time.sleep(0.002)
        process.kill()
        process.wait()
        seen.append(progress(tenant))
        if not (tenant.folder / IMPORTING).exists():
            break
        if wanted[1] and len(seen) == 2:
            # What is half there is not used by anyone, and not mixed with anything else.
            with pytest.raises(NearlineError, match="broken off"):
                tenant.log()
            other = load_dataset(data)
            with pytest.raises(NearlineError, match="other data"):
                import_dataset(tenant_in(folder), other, other.events.slice(0, 10))
    assert len(seen) >= 2, (folder / "output.txt").read_text()
    assert seen == sorted(seen)
    assert start(data, folder).wait(120) in ((0,) if (tenant.folder / IMPORTING).exists() else (0, 1, 2))
    whole = load_dataset(data)
    assert whole.lists is not None
    tenant = tenant_in(folder)
    log = tenant.log(read_only=True)
    ends = (log.end("item_events"), log.end("user_events"), log.end("feedback"))
    _, items = log.read("item_events", 0, ITEMS)
    log.close()
    assert ends == (len(whole.items), USERS * STEPS, whole.lists.num_rows)
    assert [record.item_id for record in items] == [item.item_id for item in whole.items]
    rows = [tuple(row.values()) for piece in tenant.lake.scan("user_events") for row in
            piece.select(["offset", "user_id", "item_id", "timestamp", "request_id", "price"]).to_pylist()]  # fmt: skip
    wanted_rows = whole.events.select(["user_id", "item_id", "timestamp", "request_id", "price"]).to_pylist()
    assert rows == [(offset, *row.values()) for offset, row in enumerate(wanted_rows)]
    shown = [row for piece in tenant.lake.scan("feedback") for row in piece.to_pylist()]
    assert [row["request_id"] for row in shown] == whole.lists["request_id"].to_pylist()
    impressions = [msgspec.json.decode(row["context"], type=Impression) for row in shown]
    assert [(i.items, i.offset, i.now) for i in impressions] == list(
        zip(*(whole.lists[name].to_pylist() for name in ("items", "offset", "timestamp")), strict=True)
    )
    assert tenant.meta.anchor == int(np.max(whole.rows["timestamp"].to_numpy())) + 1
    assert start(data, folder).wait(120) != 0
    assert "it holds events already" in (folder / "output.txt").read_text()


def test_a_dry_run_writes_nothing_and_tells_what_it_would(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("from nearline import App\napp = App(events=['view'])")
    (tmp_path / "log.csv").write_text("user,item,time,event\nu,i,1700000000,view\n,i,1700000000,view\nu,i,1700000000,look\n")
    command = [sys.executable, "-m", "nearline.cli", "import", str(tmp_path / "log.csv"), "--app", str(tmp_path), "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "row 3: user = ''" in done.stdout
    assert "look" in done.stderr
    assert not (tmp_path / "nearline-data" / "lake").exists()
    assert not list(tmp_path.glob("**/*.sqlite"))
