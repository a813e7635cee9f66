"""The tables in PostgreSQL: a row per event with columns that SQL can use; made at the first start."""

from __future__ import annotations

from nearline.schema.errors import NearlineError
from nearline.schema.event import TOPICS, Record, Topic
from nearline.stores.postgresql.connections import Connections

VERSION = 1
MAKING = 0x6E6561726C696E65
"""Key of the lock that is held while tables are made, so that two servers can start at once."""
TABLES: dict[Topic, str] = {topic: f"nearline_log_{topic}" for topic in TOPICS}
TYPES = {"timestamp": "int8", "ingested_at": "int8", "position": "int8", "dwell_ms": "int8"} | dict.fromkeys(
    ("rating", "value", "price"), "float8"
)
COLUMNS = tuple((name, TYPES.get(name, "text")) for name in Record.__struct_fields__)
NAMES = ", ".join(name for name, _ in COLUMNS)
_MOMENT = "to_timestamp({} / 1000.0)"
_SEEN = ", ".join(f"{_MOMENT.format(name)} AS {name}" if name in ("timestamp", "ingested_at") else name for name, _ in COLUMNS)
SCHEMA = "\n".join(
    [
        "CREATE TABLE nearline_version (version int NOT NULL);",
        f"INSERT INTO nearline_version VALUES ({VERSION});",
        """CREATE TABLE nearline_ends (
            tenant text, topic text, next int8 NOT NULL, appended_ms int8 NOT NULL, PRIMARY KEY (tenant, topic)
        ) WITH (fillfactor = 50);""",
        """CREATE TABLE nearline_consumers (
            tenant text, consumer text, topic text, next int8 NOT NULL, PRIMARY KEY (tenant, consumer, topic)
        );""",
        """CREATE TABLE nearline_rows (
            tenant text, visitor int8, log_offset int8 NOT NULL, hot bytea NOT NULL, history bytea NOT NULL,
            written_at timestamptz NOT NULL, PRIMARY KEY (tenant, visitor)
        ) WITH (fillfactor = 70);""",
        "CREATE TABLE nearline_progress (tenant text, partition int, next int8 NOT NULL, PRIMARY KEY (tenant, partition));",
        *(
            f"""CREATE TABLE {table} (tenant text, log_offset int8, appended_ms int8 NOT NULL,
            {", ".join(f"{name} {kind}" for name, kind in COLUMNS)}, PRIMARY KEY (tenant, log_offset));"""
            for table in TABLES.values()
        ),
        f"CREATE VIEW nearline_events AS SELECT tenant, log_offset, {_SEEN} FROM {TABLES['user_events']};",
        f"CREATE VIEW nearline_impressions AS SELECT tenant, log_offset, {_SEEN} FROM {TABLES['feedback']};",
    ]
)
"""`nearline_events` and `nearline_impressions` are what others may read; the tables below them are ours to change."""


def make_tables(connections: Connections, tenant: str, setting: str, read_only: bool = False) -> None:
    """Make the tables where there are none, and a tenant's ends.

    Raises:
        NearlineError: they are of another version, or not there and only read.
        StoreUnavailableError: the server can't be reached, or refuses.
    """
    with connections.lend() as connection, connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (MAKING,))
        (there,) = connection.execute("SELECT to_regclass('nearline_version') IS NOT NULL").fetchone() or (False,)
        if not there and read_only:
            raise NearlineError(setting, connections.shown, "no tables of Nearline's are there; start the server first")
        if not there:
            connection.execute(SCHEMA.encode())
        (found,) = connection.execute("SELECT version FROM nearline_version").fetchone() or (0,)
        if found != VERSION:
            remedy = f"its tables have version {found}, this Nearline reads {VERSION}; use the one that made them"
            raise NearlineError(setting, connections.shown, remedy)
        if not read_only:
            insert = "INSERT INTO nearline_ends SELECT %s, unnest(%s::text[]), 0, 0 ON CONFLICT DO NOTHING"
            connection.execute(insert, (tenant, list(TOPICS)))
