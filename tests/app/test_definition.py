"""The application: what is wrong is refused by field, value and remedy; defaults mean what they say."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nearline import App, Category, EventType, NearlineError, Number, Suppression, Text
from nearline.app.defaults import components, default_features, default_rules, default_sources
from nearline.app.definition import feature_set_hash
from nearline.app.event_types import WELL_KNOWN
from nearline.features import last_items, session
from nearline.schema.event import ERASE, Role
from nearline.schema.kinds import ERASED, FOREVER, RESERVED

# Untyped: as long as the features narrow the type of `columns`, the protocol does not take them.
LastItemsFeature: Any = last_items.LastItemsFeature
SessionFeature: Any = session.SessionFeature
NAN, INF = float("nan"), float("inf")


def named(**changes: Any) -> SimpleNamespace:
    """A component with everything that any protocol asks for."""

    def method(*_: object) -> None:
        return None

    values = {"name": "mine", "columns": ("a",), "folds": (), "time_based": False, "quota": 1, "reason": ""}
    methods = dict.fromkeys(("read", "fit", "bind", "fetch", "load", "score", "keep", "arrange"), method)
    have = {**values, "state": (), **methods, **changes}
    return SimpleNamespace(**{name: value for name, value in have.items() if value is not None})


def event(**changes: Any) -> dict[str, Any]:
    return {"events": [EventType(**{"name": "click", **changes})]}


def suppressing(scope: Any, days: Any) -> dict[str, Any]:
    return event(suppresses=(Suppression(scope, days),))


E: dict[str, Any] = {"events": ["click"]}
CLICK = 'App.events["click"]'
SUPPRESSES = f"{CLICK}.suppresses[0]"
WRONG: list[tuple[dict[str, Any], str, str, str]] = [
    ({"events": []}, "App.events", "[]", "give a list of event types"),
    ({"events": "click"}, "App.events", "'click'", "give a list"),
    ({"events": None}, "App.events", "None", "give a list"),
    ({"events": [3]}, "App.events[0]", "3", "a name or an EventType"),
    ({"events": ["view", ""]}, "App.events[1].name", "''", "give a name"),
    ({"events": [" view"]}, "App.events[0].name", "' view'", "without spaces"),
    ({"events": ["$erase"]}, "App.events[0].name", "'$erase'", "reserved"),
    ({"events": ["view", "view"]}, "App.events[1].name", "'view'", "once"),
    ({"events": [f"e{i}" for i in range(240)]}, "App.events", "240", "at most 239"),
    ({"events": ["seen", "search"]}, "App.events", "['seen', 'search']", "outcome=True"),
    (event(role="clik"), f"{CLICK}.role", "'clik'", 'did you mean "click"?'),
    (event(role="xyz"), f"{CLICK}.role", "'xyz'", "use one of none, exposure"),
    (event(role="CLICK"), f"{CLICK}.role", "'CLICK'", 'did you mean "click"?'),
    (event(role=3), f"{CLICK}.role", "3", "use one of"),
    (event(weight=NAN), f"{CLICK}.weight", "nan", "give a number"),
    (event(weight=INF), f"{CLICK}.weight", "inf", "give a number"),
    (event(weight="1"), f"{CLICK}.weight", "'1'", "give a number"),
    (event(weight=3e6), f"{CLICK}.weight", "3000000.0", "1,000,000"),
    (event(outcome="yes"), f"{CLICK}.outcome", "'yes'", "True or False"),
    (event(complete_from=80), f"{CLICK}.complete_from", "80", "a share above 0"),
    (event(full_dwell=0), f"{CLICK}.full_dwell", "0", "seconds above 0"),
    (event(suppresses=Suppression()), f"{CLICK}.suppresses", "Suppression(", "days=30"),
    (event(suppresses=("item",)), SUPPRESSES, "'item'", "give a Suppression"),
    (suppressing("brand", 1), f"{SUPPRESSES}.scope", "'brand'", '"item" or "category"'),
    (suppressing("item", 0), f"{SUPPRESSES}.days", "0", "above 0"),
    (suppressing("item", -1), f"{SUPPRESSES}.days", "-1", "None for ever"),
    (suppressing("item", NAN), f"{SUPPRESSES}.days", "nan", "above 0"),
    (suppressing("item", 1e12), f"{SUPPRESSES}.days", "1000000000000.0", "36,500"),
    (E | {"name": ""}, "App.name", "''", "letters, digits"),
    (E | {"name": "a/b"}, "App.name", "'a/b'", "letters, digits"),
    (E | {"attributes": ["color"]}, "App.attributes", "['color']", "give a dict"),
    (E | {"attributes": {"": Category()}}, "App.attributes", "''", "give each attribute a name"),
    (E | {"attributes": {"color": "red"}}, 'App.attributes["color"]', "'red'", "Category()"),
    (E | {"attributes": {"color": Category}}, 'App.attributes["color"]', "<class", "Category()"),
    (E | {"attributes": {"price": Text()}}, 'App.attributes["price"]', "Text(", "Number(...)"),
    (E | {"attributes": {"c": Number(3)}}, 'App.attributes["c"].source_field', "3", "name of a field"),  # type: ignore[arg-type]
    (E | {"weights": [1]}, "App.weights", "[1]", "give a dict"),
    (E | {"weights": {"clik": 1}}, "App.weights", "'clik'", 'did you mean "click"?'),
    (E | {"weights": {"zzz": 1}}, "App.weights", "'zzz'", "the outcomes are click"),
    (E | {"weights": {"click": NAN}}, 'App.weights["click"]', "nan", "finite"),
    (E | {"features": named()}, "App.features", "namespace(", "give a list"),
    (E | {"features": [SessionFeature]}, "App.features[0]", "'SessionFeature'", "SessionFeature()"),
    (
        E | {"features": [named(read=None, folds=None)]},
        "App.features[0]",
        "'SimpleNamespace'",
        "folds, read()",
    ),
    (E | {"features": [named(read=3)]}, "App.features[0]", "'SimpleNamespace'", "add read()"),
    (E | {"features": [named(name="")]}, "App.features[0].name", "''", "not empty"),
    (E | {"features": [named(), named()]}, "App.features[1].name", "'mine'", "of its own"),
    (E | {"features": [named(), named(name="b")]}, "App.features[1].columns", "'a'", "mine has a column"),
    (E | {"features": [named(columns=())]}, "App.features[0].columns", "()", "at least one"),
    (E | {"features": [named(columns="ab")]}, "App.features[0].columns", "'ab'", "in a tuple"),
    (E | {"features": [named(columns=("",))]}, "App.features[0].columns", "''", "each column a name"),
    (E | {"sources": [named(fetch=None)]}, "App.sources[0]", "'SimpleNamespace'", "add fetch()"),
    (E | {"sources": [named(), named()]}, "App.sources[1].name", "'mine'", "of its own"),
    (E | {"ranker": named(score=None)}, "App.ranker", "'SimpleNamespace'", "add score()"),
    (E | {"ranker": [named()]}, "App.ranker", "'list'", "add name"),
    (E | {"rules": [named(keep=None, arrange=None)]}, "App.rules[0]", "'SimpleNamespace'", "add keep()"),
    (E | {"rules": [named(keep=None, bind=None)]}, "App.rules[0]", "'SimpleNamespace'", "add bind()"),
]


@pytest.mark.parametrize(("given", "field", "value", "remedy"), WRONG)
def test_a_wrong_definition_names_field_value_and_remedy(given: dict[str, Any], field: str, value: str, remedy: str) -> None:
    with pytest.raises(NearlineError) as caught:
        App(**given)
    assert caught.value.field == field
    assert f"{field} = {value}" in str(caught.value)
    assert remedy in caught.value.remedy


def test_bare_names_have_their_well_known_meaning() -> None:
    app = App(events=[*WELL_KNOWN, "hum"])
    kinds = app.kinds()
    assert kinds.names == {name: place + 1 for place, name in enumerate([*WELL_KNOWN, "hum"])} | RESERVED
    assert kinds.names[ERASE] == ERASED
    roles = {name: Role(int(kinds.role[place])) for name, place in kinds.names.items()}
    assert roles["seen"] == Role.EXPOSURE
    assert roles["purchase"] == Role.CONVERSION
    assert roles["dislike"] == Role.NEGATIVE
    assert roles["search"] == Role.SEARCH
    assert roles["hum"] == Role.CLICK
    assert kinds.weight[kinds.place("hum")] == 1000
    assert kinds.weight[kinds.place("dislike")] < 0
    assert kinds.suppress_item[kinds.place("dislike")] == FOREVER
    assert app.outcomes == ("click", "watch", "like", "rate", "purchase")
    assert [app.types[place - 1].name for place in kinds.outcomes] == list(app.outcomes)
    assert app.outcome_weights().tolist() == [2, 3, 4, 3, 8]


def test_outcomes_and_weights_have_defaults() -> None:
    assert App(events=["view", "play"]).outcomes == ("play",)
    assert App(events=["seen", "view"]).outcomes == ("view",)
    quiet = [EventType("click"), EventType("buy", role="conversion"), EventType("no", -1, "negative")]
    assert App(events=quiet).outcomes == ("click", "buy")
    app = App(events=["click", "purchase"], weights={"purchase": 10})
    assert app.weights == {"click": 2.0, "purchase": 10.0}
    assert app.outcome_weights().dtype == np.float32


def test_one_declared_component_replaces_the_defaults() -> None:
    app = App(events=["click"], features=[SessionFeature(), LastItemsFeature()], ranker=named(), rules=[named()])
    assert [f.name for f in components(app).features] == ["session", "last_items"]
    assert [f.name for f in components(app, order_only=True).features] == ["last_items"]
    assert components(app).ranker is app.ranker
    always = {rule.name for rule in default_rules() if getattr(rule, "always", False)}
    assert components(app).rules[:1] == app.rules
    assert (
        {rule.name for rule in components(app).rules[1:]}
        == always
        == {"matching", "rule_boosts", "rule_exclusions", "rule_places"}
    )


def test_default_components_are_sorted_and_need_no_times_for_an_order() -> None:
    names = [f.name for f in default_features()]
    assert names == sorted(names)
    assert {"session", "last_items", "item_counts", "user_counts"} <= set(names)
    columns = [column for feature in default_features() for column in feature.columns]
    assert len(columns) == len(set(columns))
    for found in (default_features(order_only=True), default_sources(order_only=True)):
        assert not any(each.time_based for each in found)
    assert "last_items" in [f.name for f in default_features(order_only=True)]
    App(events=["click"], features=default_features(), sources=default_sources())


def test_the_hash_changes_with_order_columns_and_what_folds_keep() -> None:
    base = feature_set_hash([SessionFeature(), LastItemsFeature()])
    assert base == feature_set_hash([SessionFeature(), LastItemsFeature()])
    assert len(base) == 16
    others = [
        [LastItemsFeature(), SessionFeature()],
        [SessionFeature(), LastItemsFeature(6)],
        [SessionFeature(gap=1), LastItemsFeature()],
        [SessionFeature()],
        [],
    ]
    renamed = LastItemsFeature()
    renamed.columns = ("one", "two")
    hashes = {base, feature_set_hash([SessionFeature(), renamed])} | {feature_set_hash(o) for o in others}
    assert len(hashes) == 7
    # A release made on another machine must have the same hash: this one is pinned.
    assert feature_set_hash([LastItemsFeature()]) == "dcbe5344cb7f1b54"


def test_importing_nearline_stays_light() -> None:
    code = (
        "import sys, nearline\n"
        "assert 'numpy' not in sys.modules\n"
        "assert nearline.App(events=['click']).outcomes == ('click',)\n"
        "assert set(nearline.__all__) == set(dir(nearline))\n"
        "assert all(getattr(nearline, name) for name in nearline.__all__)\n"
        "assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    import nearline

    with pytest.raises(AttributeError, match="nope"):
        _ = nearline.nope
