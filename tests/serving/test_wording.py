"""Reasons in words: the visitor's language, what he did, what an application says itself."""

from __future__ import annotations

import numpy as np
import pytest

from nearline.app.definition import App
from nearline.app.explanations import BUILT_IN
from nearline.features.history import HistoryFold
from nearline.pipeline.discovery import discover
from nearline.schema.errors import NearlineError
from nearline.schema.event import Role
from nearline.serving.wording import Wording, roles_of

SHOP = App(events=["view", "click", "add_to_cart", "like", "purchase"])
SOURCES = {name: kind() for name, kind in discover("nearline.sources", ("name", "fetch")).items()}


class Own:
    name, reason, template = "own", "own_reason", "Found near {title}"


def said(app: App, locale: str, source: str, role: int = 0, item: str = "i1") -> tuple[str, str]:
    found = Wording(app).of(locale).explain(SOURCES[source], role, item, "Inception")
    return found.type, found.reason


def test_languages_fall_back_by_their_subtags() -> None:
    assert said(SHOP, "", "covisit") == ("because_you_viewed", "Because you viewed Inception")
    for locale in ("de", "de-AT", "DE_at", "de-Latn-CH"):
        assert said(SHOP, locale, "covisit")[1] == "Weil du dir Inception angesehen hast"
    assert said(SHOP, "pt-BR", "trending") == ("trending", "Trending now")
    own = App(events=["view"], explanations={"pt": {"trending": "Em alta"}, "en": {"trending": "Hot today"}})
    assert said(own, "pt-BR", "trending")[1] == "Em alta"
    assert said(own, "pt-BR", "covisit")[1] == "Because you viewed Inception"
    assert said(own, "it", "trending")[1] == "Hot today"


def test_the_verb_is_what_the_visitor_did() -> None:
    watching = App(events=["view", "watch"])
    assert said(SHOP, "fr", "covisit", Role.CONVERSION) == ("because_you_bought", "Parce que vous avez acheté Inception")
    assert said(watching, "en", "covisit", Role.CLICK)[1] == "Because you watched Inception"
    assert said(App(events=["like"]), "es", "covisit", Role.INTENT)[1] == "Porque te gustó Inception"
    # Both a cart and a like are intents: what is said must be true of either.
    assert said(SHOP, "en", "covisit", Role.INTENT)[0] == "because_you_viewed"
    assert said(SHOP, "en", "content", Role.CONVERSION)[0] == "shares_attributes"


def test_no_item_led_there() -> None:
    for locale in ("en", "de"):
        found = Wording(SHOP).of(locale).explain(SOURCES["covisit"], 0, "", "")
        assert (found.type, found.reason) == ("picked_for_you", BUILT_IN[locale]["picked_for_you"])
    assert Wording(SHOP).of("de").explain(SOURCES["trending"], 0, "", "").reason == "Gerade im Trend"


def test_a_source_brings_its_own_words_and_titles_are_never_templates() -> None:
    words = Wording(SHOP).of("es")
    assert words.explain(Own(), 0, "i1", "a {title} b").reason == "Found near a {title} b"


@pytest.mark.parametrize("locale", sorted(set(BUILT_IN) - {"en"}))
def test_shipped_languages_say_the_same_things(locale: str) -> None:
    table, english = BUILT_IN[locale], {kind.reason: kind.template for kind in SOURCES.values()} | dict(BUILT_IN["en"])
    assert set(table) == {kind for other in BUILT_IN if other != "en" for kind in BUILT_IN[other]}
    assert set(BUILT_IN["en"]) <= set(table)
    assert all(("{title}" in table[kind]) == ("{title}" in text) for kind, text in english.items() if kind in table)


def test_roles_are_the_strongest_of_the_history() -> None:
    rows = np.zeros(1, HistoryFold(6).dtype)
    rows["items"][0] = [7, 7, 8, 9, 9, 0]
    rows["roles"][0] = [Role.CONVERSION, Role.VIEW, Role.CLICK, Role.NEGATIVE, Role.VIEW, 0]
    assert roles_of({"history": rows}, {7, 9, 11}) == {7: Role.CONVERSION, 9: Role.VIEW}
    assert roles_of({}, {7}) == {}


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ([], "App.explanations"),
        ({"not a tag": {}}, "App.explanations"),
        ({"de": "x"}, 'App.explanations["de"]'),
        ({"de": {"trending": ""}}, 'App.explanations["de"]["trending"]'),
        ({"de": {"trending": "{item} now"}}, 'App.explanations["de"]["trending"]'),
        ({"de": {"trending": "{title} and {title}"}}, 'App.explanations["de"]["trending"]'),
    ],
)
def test_wrong_templates_are_refused(given: object, field: str) -> None:
    with pytest.raises(NearlineError) as caught:
        App(events=["view"], explanations=given)  # type: ignore[arg-type]
    assert caught.value.field == field
