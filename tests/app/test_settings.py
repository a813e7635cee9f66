"""Settings: what is wrong is refused by name; what is written loads back; the reference page is not stale."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from nearline.app.settings import Settings, load_settings, parse_duration, settings_table, settings_toml
from nearline.app.settings_keys import setting_keys
from nearline.schema.clock import DAY, HOUR, MINUTE, SECOND
from nearline.schema.errors import NearlineError

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"


def write(folder: Path, text: str) -> Path:
    path = folder / "nearline.toml"
    path.write_text(text, encoding="utf-8")
    return path


WRONG_FILES = [
    ("[sever]\nport = 1", "sever", "{'port': 1}", "did you mean server?"),
    ("zzz = 1", "zzz", "1", "use one of budget, candidates"),
    ("server = 3", "server", "3", "write it as a section: [server]"),
    ("[server]\nprot = 1", "server.prot", "1", "did you mean port?"),
    ("[train]\nxyzzy = 1", "train.xyzzy", "1", "use one of after_events, days"),
    ("[server]\nport = 'a'", "server.port", "'a'", "a whole number from 0 to 65,535"),
    ("[server]\nport = 65536", "server.port", "65536", "a whole number from 0 to 65,535"),
    ("[server]\nport = true", "server.port", "True", "a whole number"),
    ("[server]\nport = 80.5", "server.port", "80.5", "a whole number"),
    ("[server]\napi_key = 123456", "server.api_key", "'(hidden)'", "give text"),
    ("[server]\napikey = 'hunter2'", "server.apikey", "'(hidden)'", "did you mean api_key?"),
    ("[server]\ncors_origins = ['shop']", "server.cors_origins", "['shop']", "https://"),
    ("[server]\nhost = '0.0.0.0'", "server.api_key", "''", "0.0.0.0 is not loopback"),
    ("[server]\nhost = 'shop.example'", "server.api_key", "''", "NEARLINE_SERVER_API_KEY"),
    ("[server]\nhost = '::'\napi_key = ' '", "server.api_key", "' '", "not loopback"),
    ("[storage]\nstate = 'redis:'", "storage.state", "'redis:'", "set storage.log too"),
    ("[storage]\nlake = 'ftp://b'", "storage.lake", "'ftp://b'", "use one of file:, hdfs:, s3:"),
    ("[storage]\npath = ''", "storage.path", "''", "not empty"),
    ("[storage]\ndurability = 'fast'", "storage.durability", "'fast'", '"fsync" or "relaxed"'),
    ("[retention]\nlog_days = 0", "retention.log_days", "0", "from 1"),
    ("[retention]\nlog_days = 800", "retention.lake_days", "730", "retention.log_days (800)"),
    ("[retention]\nlake_days = 20", "train.days", "30", "retention.lake_days (20)"),
    ("[state]\nhot_ttl_hours = 99999", "state.hot_ttl_hours", "99999", "state.history_ttl_days"),
    ("[state]\nahead_seconds = -1", "state.ahead_seconds", "-1", "from 0 to"),
    ("[budget]\ntotal_ms = nan", "budget.total_ms", "nan", "a number above 0"),
    ("[budget]\ntotal_ms = inf", "budget.total_ms", "inf", "a number above 0"),
    ("[budget]\ntotal_ms = 39.5", "budget.total_ms", "39.5", "the sum of the stages, 40"),
    ("[candidates]\nlimit = 300", "candidates.ranked", "400", "candidates.limit (300)"),
    ("[candidates.quota]\nals = -1", "candidates.quota", "{'als': -1}", "a whole number from 0"),
    ("[candidates]\nquota = 5", "candidates.quota", "5", "a table of names"),
    ("[candidates.surfaces]\nbasket = { als = 1 }", "candidates.surfaces", "'basket'", "use one of cart, email"),
    ("[candidates.surfaces]\ncart = { als = -1 }", "candidates.surfaces", "{'cart': {'als': -1}}", "a whole number from 0"),
    ("[publish]\nto = ['pigeon://loft']", "publish.to", "'pigeon://loft'", "file:, http:"),
    ("[publish]\nto = 'redis://:hunter2@h'", "publish.to", "'(hidden)'", "a list of URLs"),
    ("[publish]\nsurfaces = ['basket']", "publish.surfaces", "'basket'", "use one of cart, email"),
    ("[publish]\nsurfaces = []", "publish.surfaces", "()", "name at least one"),
    ("[storage]\nvectors = 'pigeon:'", "storage.vectors", "'pigeon:'", "use one of faiss:, memory:, milvus:"),
    ("[storage]\nresults = 'pigeon:'", "storage.results", "'pigeon:'", "file:, http:"),
    ("[train]\nevery = 'daily'", "train.every", "'daily'", '"24h"'),
    ("[train]\nevery = '10s'", "train.every", "'10s'", "at most once a minute"),
    ("[train]\nevery = '99999d'", "train.every", "'99999d'", "ten years"),
    ("[train]\nevaluate_days = 30", "train.evaluate_days", "30", "below train.days (30)"),
    ("[train]\nnice = 20", "train.nice", "20", "from 0 to 19"),
    ("[impressions]\nlog = 1", "impressions.log", "1", "true or false"),
    ("[clock]\nmode = 'virtual'", "clock.mode", "'virtual'", '"auto" or "wall" or "data"'),
    ("[rules]\ndiversity = nan", "rules.diversity", "nan", "from 0 to 1"),
    ("[rules]\ndiversity = 1.1", "rules.diversity", "1.1", "from 0 to 1"),
]


@pytest.mark.parametrize(("text", "key", "value", "remedy"), WRONG_FILES)
def test_a_wrong_file_names_file_key_value_and_remedy(tmp_path: Path, text: str, key: str, value: str, remedy: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(NearlineError) as caught:
        load_settings(path, {})
    assert caught.value.field == f"{path}: {key}"
    assert f"{path}: {key} = {value}: " in str(caught.value)
    assert remedy in caught.value.remedy


WRONG_VARIABLES = [
    ("NEARLINE_SERVER_PROT", "1", "'1'", "did you mean NEARLINE_SERVER_PORT?"),
    ("NEARLINE_SEVER_PORT", "1", "'1'", "did you mean NEARLINE_SERVER_PORT?"),
    ("NEARLINE_SERVER_APIKEY", "hunter2", "'(hidden)'", "did you mean NEARLINE_SERVER_API_KEY?"),
    ("NEARLINE_SERVER_PORT", "", "''", "a whole number"),
    ("NEARLINE_SERVER_PORT", "9000x", "'9000x'", "a whole number"),
    ("NEARLINE_IMPRESSIONS_LOG", "perhaps", "'perhaps'", "true or false"),
    ("NEARLINE_BUDGET_TOTAL_MS", "nan", "'nan'", "a number"),
    ("NEARLINE_BUDGET_TOTAL_MS", "1", "1.0", "the sum of the stages"),
    ("NEARLINE_CANDIDATES_QUOTA", "als", "{'als': ''}", "a table of names"),
    ("NEARLINE_CANDIDATES_QUOTA", "{als", "'{als'", "a table of names"),
    ("NEARLINE_STORAGE_LOG", "pigeon:", "'pigeon:'", "use one of kafka:, postgresql:, sqlite:"),
    ("NEARLINE_TRAIN_EVERY", "soon", "'soon'", '"24h"'),
]


@pytest.mark.parametrize(("name", "text", "value", "remedy"), WRONG_VARIABLES)
def test_a_wrong_variable_names_itself_value_and_remedy(name: str, text: str, value: str, remedy: str) -> None:
    with pytest.raises(NearlineError) as caught:
        load_settings(None, {name: text})
    assert caught.value.field == name
    assert f"{name} = {value}: " in str(caught.value)
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"[server\n", "line 1"), (b"[server]\nport = 1\nport = 2\n", "line 3"), (b"\xff\xfe", "utf-8")],
)
def test_broken_toml_names_file_and_place(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "nearline.toml"
    path.write_bytes(content)
    with pytest.raises(NearlineError, match=says) as caught:
        load_settings(path, {})
    assert caught.value.field == str(path)


def test_a_missing_file_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(NearlineError, match="nearline init"):
        load_settings(tmp_path / "none.toml", {})


def test_the_generated_file_loads_back_to_the_same_settings(tmp_path: Path) -> None:
    assert load_settings(write(tmp_path, settings_toml()), {}) == Settings() == load_settings(None, {})
    assert load_settings(write(tmp_path, "\ufeff" + settings_toml()), {}) == Settings()
    replace = msgspec.structs.replace
    odd = 'a"b\\c\n\x7f\t é€ \x01'
    base = Settings()
    other = Settings(
        server=replace(base.server, api_key=odd, host="0.0.0.0", cors_origins=("*", "https://a.example")),
        storage=replace(base.storage, path=odd, durability="relaxed"),
        budget=replace(base.budget, total_ms=77.25),
        candidates=replace(
            base.candidates,
            quota=base.candidates.quota | {"als": 0, "my source.1": 7},
            surfaces={"cart": {"als": 0, "x.y": 9}, "push": {}},
        ),
        train=replace(base.train, every=""),
        impressions=replace(base.impressions, log=False, features=True),
        rules=replace(base.rules, diversity=0.1),
    )
    assert load_settings(write(tmp_path, settings_toml(other)), {}) == other
    assert odd not in repr(other)
    assert repr(odd) not in repr(other.server)


def test_the_environment_overrides_the_file_key_by_key(tmp_path: Path) -> None:
    path = write(tmp_path, "[server]\nport = 1\nqueue_events = 9\n[candidates.quota]\nals = 3\nmine = 4")
    settings = load_settings(
        path,
        {
            "NEARLINE_SERVER_PORT": " 9000 ",
            "NEARLINE_SERVER_HOST": "0.0.0.0",
            "NEARLINE_SERVER_API_KEY": "0123",
            "NEARLINE_SERVER_CORS_ORIGINS": "https://a.example, http://b:1",
            "NEARLINE_CANDIDATES_QUOTA": "covisit=5, new=6",
            "NEARLINE_IMPRESSIONS_LOG": "false",
            "NEARLINE_RULES_DIVERSITY": "0.5",
            "NEARLINE_BUDGET_TOTAL_MS": "60",
            "NEARLINE_CLOCK_MODE": "data",
            "NEARLINE_TRAIN_EVERY": "",
            "PATH": "/bin",
            # What Kubernetes sets for services called nearline and nearline-server.
            "NEARLINE_PORT": "tcp://10.0.0.1:80",
            "NEARLINE_SERVICE_HOST": "10.0.0.1",
            "NEARLINE_SERVICE_PORT_HTTP": "80",
            "NEARLINE_PORT_80_TCP_ADDR": "10.0.0.1",
        },
    )
    assert (settings.server.port, settings.server.queue_events) == (9000, 9)
    assert settings.server.api_key == "0123"
    assert settings.server.cors_origins == ("https://a.example", "http://b:1")
    quota = {"covisit": 5, "als": 3, "content": 100, "trending": 100, "history": 100, "mine": 4, "new": 6}
    assert settings.candidates.quota == quota
    assert (settings.impressions.log, settings.rules.diversity, settings.budget.total_ms) == (False, 0.5, 60)
    assert (settings.clock.mode, settings.train.every_ms) == ("data", 0)
    assert load_settings(None, {"NEARLINE_SERVER_PORT": "tcp://10.0.0.1:80"}).server.port == 8080
    as_json = {"NEARLINE_CANDIDATES_QUOTA": '{"als": 1}', "NEARLINE_SERVER_CORS_ORIGINS": '["*"]'}
    assert load_settings(None, as_json).candidates.quota["als"] == 1
    by_surface = {"NEARLINE_CANDIDATES_SURFACES": '{"cart": {"als": 0}}'}
    assert load_settings(None, by_surface).candidates.surfaces == {"cart": {"als": 0}}
    for host in ("localhost", "127.1.2.3", "::1"):
        assert load_settings(None, {"NEARLINE_SERVER_HOST": host}).server.host == host


def test_durations() -> None:
    for text, wanted in {
        "90s": 90 * SECOND,
        "30m": 30 * MINUTE,
        " 24 h": 24 * HOUR,
        "7d": 7 * DAY,
        "": 0,
    }.items():
        assert parse_duration(text) == wanted
    for text in ("7", "h", "-1h", "1.5h", "1w", "1h30m", "٣h"):
        with pytest.raises(NearlineError, match="24h"):
            parse_duration(text)
    assert Settings().train.every_ms == DAY


def test_every_setting_is_documented() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == settings_table(), "stale: write nearline.app.settings.settings_table() to it"
    for key in setting_keys():
        section = page.split(f"## [{key.section}]")[1].split("\n## ")[0]
        assert f"| `{key.name}` |" in section
        assert key.description.endswith(".")
        assert "\n" not in key.description
        assert f"\n{key.name} = " in settings_toml() or f"\n[{key.path}]\n" in settings_toml()


def test_subscribers_are_taken_and_shown_to_nobody() -> None:
    settings = load_settings(None, {"NEARLINE_PUBLISH_TO": '["redis://:hunter2@h:1/0", "kafka://a:1,b:2/lists"]'})
    assert settings.publish.to == ("redis://:hunter2@h:1/0", "kafka://a:1,b:2/lists")
    assert "hunter2" not in repr(settings)
    with pytest.raises(NearlineError) as refused:
        load_settings(None, {"NEARLINE_PUBLISH_TO": "pigeon://me:hunter2@loft"})
    assert "hunter2" not in str(refused.value)
