"""The same rows, file by file and byte by byte, from Spark; one visitor has a third of all events."""

from __future__ import annotations

import importlib.util
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from backfill_shop import START, Shop, online, past, shop, written

from nearline.batch.backfill import splits
from nearline.batch.backfill.local import run_local
from nearline.batch.backfill.plan import Place, finish, plan_job
from nearline.schema.clock import DAY

if importlib.util.find_spec("pyspark") is None or shutil.which("java") is None:
    pytest.skip("needs java (OpenJDK 17 or newer) and pyspark: pip install 'nearline[spark]'", allow_module_level=True)


RUN = """
import pickle, sys
from nearline.batch.backfill.spark import run_spark
run_spark(*pickle.load(open(sys.argv[1], "rb")), "local[2]")
"""


def on_spark(tenant: Shop, out: Path, as_of: int, previous: Path | None = None) -> None:
    job = plan_job(tenant, as_of, out, previous, buckets=6)
    assert len(job.splits) > 6
    told = tenant.file.with_name("job")
    told.write_bytes(pickle.dumps((Place(tenant.file, tenant.settings, tenant.name), job)))
    # In a process of its own, with which the JVM ends.
    done = subprocess.run([sys.executable, "-c", RUN, str(told)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-5000:]
    finish(job)


def test_spark_writes_what_one_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits, "ROWS", 200)
    monkeypatch.setattr(splits, "DAYS", 3)
    tenant, half, end = shop(tmp_path / "shop", past()), START + 17 * DAY, START + 60 * DAY
    on_spark(tenant, tmp_path / "half", half)
    on_spark(tenant, tmp_path / "spark", end, tmp_path / "half")
    job = plan_job(tenant, end, tmp_path / "local", buckets=6)
    run_local(tenant, job)
    assert finish(job).visitors > 150
    assert written(tmp_path / "spark") == online(tenant)
    for path in (tmp_path / "local").glob("bucket-*"):
        assert (tmp_path / "spark" / path.name).read_bytes() == path.read_bytes()
