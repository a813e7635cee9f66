"""Rows folded again from the lake are the rows that a server has, byte for byte, however the work is divided."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from backfill_shop import START, Shop, came_before, online, past, shop, written

from nearline.batch.backfill import folding, pieces, splits
from nearline.batch.backfill.local import run_local
from nearline.batch.backfill.plan import Done, finish, plan_job
from nearline.embedded.maintenance import erase
from nearline.schema.clock import DAY
from nearline.schema.errors import NearlineError
from nearline.schema.event import ERASE, Record
from nearline.schema.ids import key

END = START + 60 * DAY


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many splits, pieces and waves, where a lake of this size would have one of each."""
    monkeypatch.setattr(splits, "ROWS", 200)
    monkeypatch.setattr(splits, "DAYS", 3)
    monkeypatch.setattr(pieces, "GATHERED", 300)
    monkeypatch.setattr(pieces, "LARGEST", 40)
    monkeypatch.setattr(folding, "WAVE", 4)
    monkeypatch.setattr(folding, "READ", 100)
    monkeypatch.setattr(folding, "WRITTEN", 3)


def features(tenant: Shop, out: Path, as_of: int = END, previous: Path | None = None, columns: bool = False) -> Done:
    job = plan_job(tenant, as_of, out, previous, columns, buckets=5)
    run_local(tenant, job)
    return finish(job)


@pytest.mark.parametrize("shared", [True, False])
def test_rows_are_those_of_a_server(tmp_path: Path, shared: bool) -> None:
    tenant = shop(tmp_path / "shop", past(twice=shared), shared)
    done = features(tenant, tmp_path / "out")
    wanted = online(tenant)
    assert done.visitors == len(wanted) > 150
    assert written(tmp_path / "out") == wanted
    found = splits.splits(tenant.lake, 0, tenant.lake.end("user_events"), DAY if shared else 0)
    assert len(found) >= 8
    assert not list((tmp_path / "out").glob(".*"))
    # What was erased from the lake too changes nothing for the others.
    assert erase(tenant) > 50
    features(tenant, tmp_path / "again")
    assert written(tmp_path / "again") == written(tmp_path / "out")


def test_rows_as_they_were_at_a_time(tmp_path: Path) -> None:
    records, at = past(), START + 20 * DAY + 12_345_678
    tenant = shop(tmp_path / "shop", records)
    features(tenant, tmp_path / "out", at)
    wanted = online(shop(tmp_path / "then", came_before(records, at)))
    # Who was erased since is in no output that is written since.
    gone = {key(record.user_id) for record in records if record.event_type == ERASE and record.ingested_at >= at}
    assert len(gone & wanted.keys()) > 3
    assert written(tmp_path / "out") == {visitor: row for visitor, row in wanted.items() if visitor not in gone}


@pytest.mark.parametrize("shared", [True, False])
def test_going_on_from_an_earlier_output_comes_to_the_same(tmp_path: Path, shared: bool) -> None:
    tenant = shop(tmp_path / "shop", past(twice=shared), shared)
    previous = None
    for week in range(1, 4):
        out = tmp_path / f"week-{week}"
        features(tenant, out, START + week * 9 * DAY, previous)
        previous = out
    features(tenant, tmp_path / "last", END, previous)
    features(tenant, tmp_path / "whole")
    for name in sorted(path.name for path in (tmp_path / "whole").glob("bucket-*")):
        assert (tmp_path / "last" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    with pytest.raises(NearlineError, match="later time"):
        plan_job(tenant, START, tmp_path / "new", tmp_path / "last")
    with pytest.raises(NearlineError, match="no whole output"):
        plan_job(tenant, END, tmp_path / "new", tmp_path / "shop")


def test_one_that_was_broken_off_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant, out = shop(tmp_path / "shop", past()), tmp_path / "out"
    job, fold = plan_job(tenant, END, out, buckets=5), folding.BucketFolder.fold

    def failing(self: folding.BucketFolder, bucket: int, spool: Path) -> folding.Folded:
        if bucket == 3:
            raise KeyboardInterrupt
        return fold(self, bucket, spool)

    with monkeypatch.context() as patch:
        patch.setattr(folding.BucketFolder, "fold", failing)
        with pytest.raises(KeyboardInterrupt):
            run_local(tenant, job)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("bucket-*")}
    assert len(before) == 3
    with pytest.raises(NearlineError, match="another output"):
        plan_job(tenant, END - DAY, out, buckets=5)
    log = tenant.log()
    log.append({"user_events": [Record("late", "view", "u1", "i1", END + 1, END + 1)]})
    features(tenant, out)
    assert written(out) == {**online(shop(tmp_path / "other", past()))}
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before
    # Asked for once more after an erasure, it writes that visitor's bucket again, without him.
    log.append({"user_events": [Record("", ERASE, "busy", "", END + 2, END + 2)]})
    with_busy = written(out)
    features(tenant, out)
    assert written(out) == {visitor: row for visitor, row in with_busy.items() if visitor != key("busy")}


def test_folds_as_columns_say_what_the_packed_rows_say(tmp_path: Path) -> None:
    tenant = shop(tmp_path / "shop", past())
    at = START + 34 * DAY
    features(tenant, tmp_path / "out", at, columns=True)
    table = pq.read_table(tmp_path / "out")
    packed = tenant.user_state().packed
    hot = np.frombuffer(b"".join(table["packed_hot"].to_pylist()), packed["hot"])
    history = np.frombuffer(b"".join(table["packed_history"].to_pylist()), packed["history"])
    assert table["offset"].to_pylist() == hot["presence"]["offset"].tolist()
    assert table["last"].cast(pa.int64()).to_pylist() == hot["presence"]["last"].tolist()
    totals = table["user_totals"].combine_chunks()
    assert totals.field("value").to_pylist() == history["user_totals"]["value"].tolist()
    items = table["last_items"].combine_chunks()
    gone = at - hot["presence"]["last"] > DAY
    assert 10 < gone.sum() < len(gone) - 10
    assert items.is_null().to_pylist() == gone.tolist()
    found = [row["items"] for row in items.to_pylist() if row is not None]
    assert found == hot["last_items"]["items"][~gone].tolist()
    counts = [row["tiles"] for row in table["user_counts_7d"].to_pylist()]
    assert counts == history["user_counts_7d"]["tiles"].tolist()


def test_events_that_are_gone_are_missed(tmp_path: Path) -> None:
    tenant = shop(tmp_path / "shop", past())
    features(tenant, tmp_path / "old", START + 5 * DAY)
    tenant.lake.objects.delete([file.name for file in tenant.lake.files("user_events")[4:12]])
    with pytest.raises(NearlineError, match="are gone"):
        plan_job(tenant, END, tmp_path / "new", tmp_path / "old")
