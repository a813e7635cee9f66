"""What an interrupted run leaves behind does no harm: erasure is made up for, snapshots are whole and never ahead."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nearline.app.definition import App
from nearline.app.sections import Settings, Storage
from nearline.app.tenant import Tenant
from nearline.embedded.maintenance import maintain
from nearline.schema.clock import VirtualClock
from nearline.schema.declared import Declaration
from nearline.schema.errors import NearlineError
from nearline.schema.event import ERASE, Record
from nearline.stores.history import iter_records
from nearline.stores.lake import Lake
from nearline.stream.local import LocalStream

NOW = 1_760_000_000_000


def tenant(folder: Path, *events: str) -> Tenant:
    made = Tenant(App(events=["view", "click", *events]), Settings(storage=Storage(path=str(folder))))
    made.__dict__["clock"] = VirtualClock(NOW)
    return made


def record(user: str, kind: str = "click", at: int = NOW) -> Record:
    return Record(f"{user}{kind}{at}", kind, user, "" if kind == ERASE else "i1", at, at)


def users(lake: Lake) -> list[str]:
    return [u for topic in ("user_events", "feedback") for t in lake.scan(topic) for u in _theirs(t)]


def _theirs(table: object) -> list[str]:
    rows = table.to_pylist()  # type: ignore[attr-defined]
    return [row["user_id"] for row in rows if row["event_type"] != ERASE]


def test_erasure_outlives_a_kill_and_reaches_what_came_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = tenant(tmp_path)
    log = one.log()
    # Even in the same millisecond as the tombstone.
    log.append({"user_events": [record("gone"), record("stays"), record("gone", ERASE)]})
    with monkeypatch.context() as patch:
        patch.setattr(Lake, "erase", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            maintain(one)
    assert one.lake.end("user_events") == 3
    maintain(one)
    assert users(one.lake) == ["stays"]
    # A list that was being made at the time is logged after the archive ran.
    log.append({"feedback": [record("gone", "$impression", NOW - 1)]})
    maintain(one)
    assert users(one.lake) == ["stays"]
    log.close()


def test_two_logs_are_not_archived_to_one_lake(tmp_path: Path) -> None:
    def server(name: str) -> Tenant:
        lake = f"file://{tmp_path / 'lake'}"
        return Tenant(App(events=["click"]), Settings(storage=Storage(path=str(tmp_path / name), lake=lake)))

    one, two = server("one"), server("two")
    for at in (one, two):
        log = at.log()
        log.append({"user_events": [record(at.folder.parent.name)]})
        log.close()
    assert "archived 1 records" in maintain(one)
    with pytest.raises(NearlineError, match=r"storage.lake = .*another server's log.*delete default/\.log"):
        maintain(two)
    assert "archived 0 records" in maintain(server("one"))
    assert users(two.lake) == ["one"]


def test_a_snapshot_beyond_the_log_or_of_another_application_is_not_used(tmp_path: Path) -> None:
    one = tenant(tmp_path)
    log = one.log()
    log.append({"user_events": [record("a"), record("b"), record("c")]})
    stream = LocalStream(one)
    assert stream.restore(log) == 3
    stream.save()
    assert LocalStream(one).restore(log) == 0
    # Other event types mean other rows; so does state that only a source keeps.
    assert LocalStream(tenant(tmp_path, "purchase")).restore(log) == 3
    log.close()
    # A power cut took the tail of a relaxed log.
    (one.folder / "log.sqlite").unlink()
    for rest in one.folder.glob("log.sqlite-*"):
        rest.unlink()
    log = one.log()
    log.append({"user_events": [record("a")]})
    again = LocalStream(one)
    assert again.restore(log) == 1
    again.apply(1, [record("d")])
    assert again.world.offset == 2
    log.close()


def test_two_processes_save_at_once_and_half_a_snapshot_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = tenant(tmp_path)
    log = one.log()
    log.append({"user_events": [record("a"), record("b")]})
    first, second = LocalStream(one), LocalStream(one)
    first.restore(log)
    log.append({"user_events": [record("c")]})
    second.restore(log)
    real, inside = np.save, [False]

    def save(path: Path, array: object) -> None:
        if not inside[0]:
            inside[0] = True
            second.save()
        real(path, array)  # type: ignore[arg-type]

    monkeypatch.setattr(np, "save", save)
    first.save()
    monkeypatch.undo()
    newest = sorted((one.folder / "snapshots").iterdir())
    assert [path.name.startswith(".") for path in newest] == [False, False]
    restored = LocalStream(one)
    assert restored.restore(log) == 0
    theirs = second.world.state.dump()
    assert all(np.array_equal(array, theirs[name]) for name, array in restored.world.state.dump().items())
    next(newest[-1].glob("fold.*.npy")).unlink()
    assert LocalStream(one).restore(log) == 1
    log.close()


def test_worlds_of_one_tenant_share_nothing(tmp_path: Path) -> None:
    one = tenant(tmp_path)
    log = one.log()
    log.append({"user_events": [Record(f"e{k}", "click", "u", f"i{k % 3}", NOW + k, NOW + k) for k in range(9)]})
    live = LocalStream(one)
    live.follow(log)
    before = {name: array.copy() for name, array in live.world.state.dump().items()}
    LocalStream(one).follow(log)
    assert all(np.array_equal(array, before[name]) for name, array in live.world.state.dump().items())
    log.close()


def test_what_was_declared_survives_with_and_without_a_snapshot(tmp_path: Path) -> None:
    one = tenant(tmp_path)
    log = one.log()
    rule, other = Declaration("rule", "boost", '{"by":2}'), Declaration("list", "front", '["i1"]')
    log.append({"item_events": [rule.record(NOW), other.record(NOW), Declaration("rule", "old", "{}").record(NOW)]})
    log.append({"item_events": [Record("", "put", "", "i1", NOW, NOW, context='{"item_id":"i1"}')]})
    log.append({"item_events": [Declaration("rule", "old", "").record(NOW)]})
    stream = LocalStream(one)
    stream.restore(log)
    assert stream.world.declared.all() == [rule, other]
    assert list(stream.world.catalog.items) == ["i1"]
    stream.save()
    log.append({"item_events": [Declaration("rule", "boost", '{"by":3}').record(NOW)]})
    maintain(one)
    again = LocalStream(one)
    again.restore(log)
    assert again.world.declared.of("rule") == {"boost": '{"by":3}'}
    fresh = one.world()
    assert [item.item_id for item in fresh.adopt(iter_records(log, one.lake, "item_events"))] == ["i1"]
    assert fresh.declared.all() == again.world.declared.all()
    log.close()
