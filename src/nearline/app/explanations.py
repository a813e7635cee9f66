"""The words of explanations: templates by locale and type, the built-in ones, and what makes an application's own wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from nearline.schema.errors import NearlineError
from nearline.schema.event import EventType, Role

Templates = Mapping[str, Mapping[str, str]]
"""Locale to explanation type to text, in which `{title}` stands for the item that led there."""

DEFAULT = "en"
"""The locale that every other one falls back to."""
VIEWED = "because_you_viewed"
PICKED = "picked_for_you"
"""What is said where the item that led there is needed and not known."""

BUILT_IN: Templates = {
    "en": {
        VIEWED: "Because you viewed {title}",
        "because_you_bought": "Because you bought {title}",
        "because_you_watched": "Because you watched {title}",
        "because_you_liked": "Because you liked {title}",
        "because_you_added": "Because you added {title} to your cart",
        PICKED: "Picked for you",
    },
    "de": {
        VIEWED: "Weil du dir {title} angesehen hast",
        "because_you_bought": "Weil du {title} gekauft hast",
        "because_you_watched": "Weil du {title} geschaut hast",
        "because_you_liked": "Weil dir {title} gefällt",
        "because_you_added": "Weil {title} in deinem Warenkorb liegt",
        "right_after": "Wird gleich nach {title} angesehen",
        "similar_taste": "Beliebt bei Menschen mit deinem Geschmack, nach {title}",
        "from_your_history": "Mach da weiter, wo du aufgehört hast",
        "shares_attributes": "Ähnelt {title}",
        "trending": "Gerade im Trend",
        "popular": "Beliebt",
        "new": "Neu eingetroffen",
        "goes_with": "Passt zu {title}",
        "editorial": "Von der Redaktion empfohlen",
        "exploration": "Etwas Neues für dich",
        "matches": "Beliebt in dieser Auswahl",
        "matches_search": "Passt zu deiner Suche",
        "placed": "Für diese Seite ausgewählt",
        PICKED: "Für dich ausgesucht",
    },
    "fr": {
        VIEWED: "Parce que vous avez consulté {title}",
        "because_you_bought": "Parce que vous avez acheté {title}",
        "because_you_watched": "Parce que vous avez regardé {title}",
        "because_you_liked": "Parce que vous avez aimé {title}",
        "because_you_added": "Parce que {title} est dans votre panier",
        "right_after": "Souvent consulté juste après {title}",
        "similar_taste": "Apprécié par ceux qui partagent vos goûts, après {title}",
        "from_your_history": "Reprenez là où vous en étiez",
        "shares_attributes": "Ressemble à {title}",
        "trending": "Tendance en ce moment",
        "popular": "Populaire",
        "new": "Nouveauté",
        "goes_with": "Va bien avec {title}",
        "editorial": "Le choix de la rédaction",
        "exploration": "Quelque chose de nouveau pour vous",
        "matches": "Populaire dans cette sélection",
        "matches_search": "Correspond à votre recherche",
        "placed": "Choisi pour cette page",
        PICKED: "Choisi pour vous",
    },
    "es": {
        VIEWED: "Porque viste {title}",
        "because_you_bought": "Porque compraste {title}",
        "because_you_watched": "Porque has visto {title}",
        "because_you_liked": "Porque te gustó {title}",
        "because_you_added": "Porque {title} está en tu carrito",
        "right_after": "Se suele ver justo después de {title}",
        "similar_taste": "Gusta a personas con tus gustos, después de {title}",
        "from_your_history": "Sigue donde lo dejaste",
        "shares_attributes": "Se parece a {title}",
        "trending": "Tendencia ahora",
        "popular": "Popular",
        "new": "Novedad",
        "goes_with": "Combina con {title}",
        "editorial": "Selección de la redacción",
        "exploration": "Algo nuevo para ti",
        "matches": "Popular en esta selección",
        "matches_search": "Coincide con lo que buscaste",
        "placed": "Elegido para esta página",
        PICKED: "Elegido para ti",
    },
}
"""A type without a template here is said in the words of its source."""

_DONE: Mapping[str, str] = {
    "purchase": "because_you_bought",
    "buy": "because_you_bought",
    "order": "because_you_bought",
    "watch": "because_you_watched",
    "play": "because_you_watched",
    "like": "because_you_liked",
    "favorite": "because_you_liked",
    "favourite": "because_you_liked",
    "add_to_cart": "because_you_added",
}
_LOCALE = re.compile(r"[A-Za-z]{1,8}([-_][A-Za-z0-9]{1,8}){0,4}\Z")


def tag(locale: str) -> str:
    """Return a language tag in the one form that is compared."""
    return locale.replace("_", "-").lower()


def fallbacks(locale: str) -> list[str]:
    """Return a tag and what it falls back to: pt-br, pt, en."""
    parts = tag(locale).split("-") if locale else []
    chain = ["-".join(parts[:n]) for n in range(len(parts), 0, -1)]
    return chain if DEFAULT in chain else [*chain, DEFAULT]


def types_by_role(types: Sequence[EventType]) -> dict[int, str]:
    """Return the explanation type that says what a visitor did, by role.

    A row of the history keeps the role of an event, not its type, so a role has a verb where all of its
    types agree on one; else "viewed" is said, which is true of every one.
    """
    verbs: dict[int, set[str]] = {}
    for kind in types:
        if kind.weight > 0:
            verbs.setdefault(int(Role[kind.role.upper()]), set()).add(_DONE.get(kind.name.lower(), VIEWED))
    counted = (int(Role.VIEW), int(Role.CLICK), int(Role.INTENT), int(Role.CONVERSION))
    return {role: next(iter(found)) if len(found) == 1 else VIEWED for role, found in verbs.items() if role in counted}


def check_explanations(given: object) -> dict[str, dict[str, str]]:
    """Return an application's templates, checked.

    Raises:
        NearlineError: a locale is no language tag, or a template is empty or has another placeholder than {title}.
    """
    if not isinstance(given, Mapping):
        raise NearlineError("App.explanations", given, 'give a dict, such as {"en": {"trending": "Hot today"}}')
    for locale, templates in given.items():
        where = f'App.explanations["{locale}"]'
        if not isinstance(locale, str) or not _LOCALE.match(locale):
            raise NearlineError("App.explanations", locale, "name each locale by a language tag, such as en or pt-BR")
        if not isinstance(templates, Mapping):
            raise NearlineError(where, templates, 'give a dict by type, such as {"trending": "Hot today"}')
        for kind, template in templates.items():
            one = f'{where}["{kind}"]'
            if not isinstance(kind, str) or not kind.strip():
                raise NearlineError(where, kind, "name each type of explanation as its source does")
            if not isinstance(template, str) or not template.strip():
                raise NearlineError(one, template, "give the words")
            rest = template.replace("{title}", "", 1)
            if "{" in rest or "}" in rest:
                raise NearlineError(one, template, "the only placeholder is {title}, once")
    return {str(locale): dict(templates) for locale, templates in given.items()}
