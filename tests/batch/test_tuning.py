"""Tuning: what is looked for, how, and how it comes back as settings."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from nearline import App
from nearline.app.defaults import components, tunable
from nearline.app.options import numbers
from nearline.app.sections import ComponentSettings, Settings, Storage
from nearline.app.sections import Train as TrainSettings
from nearline.app.settings import load_settings
from nearline.app.tenant import Tenant
from nearline.batch.tuning import Chosen, Worth, axes, best, changes, tune
from nearline.cli.main import cli, main
from nearline.schema.errors import NearlineError
from nearline.sources.als import AlsSource

APP = App(events=["view", "click"])


def test_every_span_holds_the_default_and_names_an_argument() -> None:
    for name, kind in tunable(APP).items():
        for argument, span in getattr(kind, "tunes", {}).items():
            default = numbers(kind)[argument]
            assert span.low <= default <= span.high, f"{name}.{argument}"
            for value in (span.low, span.high):
                components(APP, options={name: {argument: int(value) if isinstance(default, int) else value}})


def test_it_begins_with_the_defaults_and_finds_better() -> None:
    space = axes(APP, ["ease"])
    asked: list[Chosen] = []

    def worth(chosen: Chosen) -> Worth:
        asked.append(chosen)
        return Worth(-abs(np.log(chosen["ease"]["regularization"] / 60)) - abs(chosen["ease"]["fade"] - 0.5), 0.01)

    trials = tune(space, worth, 30, seed=3)
    assert [trial.chosen for trial in trials] == asked
    assert changes(space, asked[0]) == {}
    found = best(trials)
    assert found.worth.mean > trials[0].worth.mean / 3
    assert [trial.chosen for trial in tune(space, worth, 30, seed=3)] == asked[:30]
    assert asked[:30] == asked[30:]


def test_what_is_found_is_what_the_settings_take(tmp_path: Path) -> None:
    space = axes(APP, ["ease", "trees"])
    chosen = tune(space, lambda _: Worth(0.0, 0.0), 2, seed=1)[1].chosen
    (tmp_path / "nearline.toml").write_text(
        "[components.options]\n"
        + "".join(
            f"{name} = {{ {', '.join(f'{word} = {value}' for word, value in values.items())} }}\n"
            for name, values in changes(space, chosen).items()
        )
    )
    options = load_settings(tmp_path / "nearline.toml", {}).components.options
    made = components(APP, options=options)
    ease = next(source for source in made.sources if source.name == "ease")
    assert vars(ease)["fade"] == pytest.approx(chosen["ease"]["fade"], rel=0.01)
    assert vars(made.ranker)["trees"] == chosen["trees"]["trees"] != 300


@pytest.mark.parametrize(("options", "factors"), [({}, 16), ({"als": {"factors": 24.0}}, 24)])
def test_what_an_option_says_of_als_goes_before_the_size_of_all_embeddings(
    options: dict[str, dict[str, float]], factors: int, tmp_path: Path
) -> None:
    settings = Settings(
        storage=Storage(path=str(tmp_path)), train=TrainSettings(embeddings=16), components=ComponentSettings(options=options)
    )
    assert [source.factors for source in Tenant(APP, settings).parts.sources if isinstance(source, AlsSource)] == [factors]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"eas": {"fade": 0.5}}, "components.options.eas.*did you mean ease"),
        ({"ease": {"fadde": 0.5}}, "components.options.ease.fadde.*did you mean fade"),
        ({"ease": {"ask": 1.5}}, "components.options.ease.ask.*whole number"),
        ({"als": {"nothing": 1.0}}, "components.options.als.nothing.*use one of"),
    ],
)
def test_a_wrong_option_is_refused_with_the_remedy(options: dict[str, dict[str, float]], said: str) -> None:
    with pytest.raises(NearlineError) as raised:
        components(APP, options=options)
    assert re.search(said, str(raised.value))


def test_what_has_nothing_to_tune_is_refused() -> None:
    with pytest.raises(NearlineError, match="--only"):
        axes(APP, ["history"])


def test_an_application_is_tuned_on_its_own_last_days(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(5)
    rows = ["user_id,item_id,event_type,timestamp"]
    for n in range(4_000):
        user = int(random.integers(0, 80))
        rows.append(f"u{user},i{int(random.integers(0, 12)) * 5 + user % 5},click,{1_700_000_000 + 400 * n}")
    (tmp_path / "data.csv").write_text("\n".join(rows) + "\n")
    monkeypatch.chdir(tmp_path)
    shop = tmp_path / "shop"
    for command in (["init", "shop"], ["import", "data.csv", "--app", "shop"]):
        assert CliRunner().invoke(cli, command).exit_code == 0
    monkeypatch.setattr("sys.argv", ["nearline", "tune", "--app", "shop", "--trials", "2", "--only", "ease"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    told = capsys.readouterr()
    assert "ease.fade" in told.out
    assert "5 arguments of 1 components, 2 trainings" in told.err
    assert not list((shop / "nearline-data" / "default" / "releases").glob("r*"))
    # What it printed is a file of settings.
    (tmp_path / "found.toml").write_text(told.out[told.out.index("# ") :])
    assert set(load_settings(tmp_path / "found.toml", {}).components.options) <= {"ease"}
    assert msgspec.json.encode(load_settings(tmp_path / "found.toml", {}))
