"""An import into a log that servers share: all of them get it, not only the one whose lake is beside it."""

from __future__ import annotations

from pathlib import Path

from engines.postgresql import Postgresql
from nearline.app.load import load_app
from nearline.app.settings import load_settings
from nearline.app.tenant import Tenant
from nearline.batch.importers import load_dataset
from nearline.batch.importing import import_dataset
from nearline.stream.local import LocalStream


def test_every_server_has_what_one_imported(postgresql_server: Postgresql, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("from nearline import App\napp = App(events=['click'])")
    rows = "".join(f"u{k % 7},i{k % 11},{1_700_000_000 + k},click\n" for k in range(300))
    (tmp_path / "events.csv").write_text("user_id,item_id,timestamp,event_type\n" + rows)
    url = postgresql_server.database()

    def server(name: str) -> Tenant:
        given = {"NEARLINE_STORAGE_LOG": url, "NEARLINE_STORAGE_PATH": str(tmp_path / name)}
        return Tenant(load_app(tmp_path / "app.py"), load_settings(None, given))

    importing, other = server("one"), server("two")
    import_dataset(importing, load_dataset(tmp_path / "events.csv"))
    log = other.log()
    stream = LocalStream(other)
    assert stream.restore(log) == 300
    assert log.start("user_events") == 0
    assert len(stream.world.catalog.items) == 11
    log.close()
