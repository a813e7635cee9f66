"""The endpoints as the OpenAPI document describes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from nearline.schema.event import DEVICES
from nearline.schema.query import SURFACES
from nearline.serving.bodies import LONGEST_ID
from nearline.serving.params import LOCALE, MOST_FILTERS
from nearline.serving.routes_insight import DEFAULT_USERS, MOST_USERS
from nearline.serving.routes_lists import DEFAULT_SIZE, MOST_SIZE
from nearline.serving.routes_users import MOST_OFFERED
from nearline.serving.validate_lists import NAME

Json = dict[str, Any]
_JSON = "application/json"
PAGE_TAG = "Page"
"""Of what is there only where `[server] page` is on."""


class Route(Struct, frozen=True):
    """One operation.

    Attributes:
        body: names of the struct and, where it takes several, of their array.
        answers: status to (description, content type, schema or its name).
        errors: statuses beyond those that follow from the rest.
        open: whether it never asks for a key.
    """

    method: str
    path: str
    name: str
    tag: str
    summary: str
    answers: Mapping[str, tuple[str, str, str | Json]]
    parameters: tuple[Json, ...] = ()
    body: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    open: bool = False


def _param(name: str, schema: Json, description: str) -> Json:
    return {"name": name, "in": "query", "schema": schema, "description": description}


def _required(parameter: Json) -> Json:
    return {**parameter, "required": True}


def _in_path(name: str) -> Json:
    pattern = r"^[^\u0000?#]+$"
    schema = {"type": "string", "minLength": 1, "maxLength": LONGEST_ID, "pattern": pattern}
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": "Percent-encoded."}


def _size(name: str, description: str) -> Json:
    schema = {"type": "integer", "minimum": 1, "maximum": MOST_SIZE, "default": DEFAULT_SIZE}
    return _param(name, schema, description)


_TEXT: Json = {"type": "string", "maxLength": LONGEST_ID, "pattern": r"^[^\u0000]*$"}
_USER = _param("user_id", _TEXT, "Who asks.")
_SESSION = _param("session_id", _TEXT, "The visit; alone, for an anonymous visitor.")
_NAME = {**_in_path("name"), "schema": {"type": "string", "pattern": NAME}}
_ITEM, _USER_ID = _in_path("item_id"), _in_path("user_id")
_RULE = {**_in_path("name"), "schema": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$"}}

_FILTER = _param(
    "filter",
    {"type": "array", "items": {"type": "string", "pattern": "^[^:]+:[^:]+:"}, "maxItems": MOST_FILTERS},
    "attribute:op:value that every item must meet, such as category:under:Film > Action; repeated for several.",
)
_VISIT = (
    _USER,
    _SESSION,
    _param(
        "context",
        {"type": "string", "enum": list(SURFACES), "default": "homepage"},
        "Where it is shown.",
    ),
    _size("page_size", "Items wanted."),
    _size("num_results", "Another name of page_size; give one of them."),
    _param(
        "exclude",
        {"type": "array", "items": {**_TEXT, "minLength": 1}},
        "Items that must not be in it: separated by commas, or repeated.",
    ),
    _FILTER,
    _param(
        "cart",
        {"type": "array", "items": {**_TEXT, "minLength": 1}},
        "Items in the cart, the newest last: separated by commas, or repeated.",
    ),
    _param("location", _TEXT, "Where the visitor is, as the application names places."),
    _param("device", {"type": "string", "enum": [d for d in DEVICES if d]}, "What it is shown on."),
    _param("locale", {"type": "string", "pattern": LOCALE, "maxLength": 44}, "Language tag."),
)
"""What says who asks, where and for how much."""

ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        "/v1/events",
        "post_events",
        "Events",
        'Take one event, an array, or {"events": [...]}, up to 1,000',
        {"202": ("Durable, and in the user's state; bad ones are listed.", _JSON, "EventsTaken")},
        body=("EventIn", "events"),
        errors=("429",),
    ),
    Route(
        "GET",
        "/v1/recommendations",
        "get_recommendations",
        "Lists",
        "A list for a user or an anonymous session",
        {"200": ("The list.", _JSON, "Served")},
        (
            *_VISIT,
            _param("item_id", _TEXT, "The item that the page is about."),
            _param(
                "debug",
                {"type": "boolean", "default": False},
                "Add the trace; such a list leaves no impression.",
            ),
            _param(
                "explain",
                {"type": "boolean", "default": False},
                "Add to each explanation how much each source did to find the item.",
            ),
            _param("after", _TEXT, "request_id of the list before: continue without repeats."),
        ),
        errors=("422",),
    ),
    Route(
        "POST",
        "/v1/recommendations:batch",
        "post_recommendations",
        "Lists",
        'Lists for one user, an array of them, or {"requests": [...]}, up to 1,000; made while no other request waits',
        {"200": ("The lists, as they are made; what is wrong is listed.", _JSON, "BatchedLists")},
        (_param("log", {"type": "boolean", "default": True}, "Whether each list leaves an impression."),),
        ("ListRequest", "requests"),
    ),
    Route(
        "GET",
        "/v1/pages/{name}",
        "get_rows",
        "Lists",
        "A page of rows for a user or an anonymous session; no item is in two rows",
        {"200": ("The rows, from the top down.", _JSON, "ServedPage")},
        (
            _NAME,
            *(one for one in _VISIT if one["name"] not in ("context", "page_size", "num_results")),
            _param("item_id", _TEXT, "The item that the page is about."),
        ),
        errors=("404", "422"),
    ),
    Route(
        "GET",
        "/v1/explain",
        "get_explanation",
        "Lists",
        "Why an item is in the list that the same parameters get, or why not",
        {"200": ("What each stage did with it.", _JSON, "Why")},
        (
            *_VISIT,
            _required(_param("item_id", {**_TEXT, "minLength": 1}, "The item asked about.")),
            _param("page_item_id", _TEXT, "The item that the page is about."),
        ),
        errors=("404", "422"),
    ),
    Route(
        "GET",
        "/v1/items/{item_id}/similar",
        "get_similar",
        "Lists",
        "Items similar to one",
        {"200": ("Best first.", _JSON, "Similar")},
        (
            _ITEM,
            _USER,
            _SESSION,
            _size("limit", "Items wanted."),
            _param(
                "diversity",
                {"type": "number", "minimum": 0, "maximum": 1, "default": 0},
                "0: only likeness counts; 1: only unlikeness to the items above.",
            ),
        ),
        errors=("404", "422"),
    ),
    Route(
        "GET",
        "/v1/trending",
        "get_trending",
        "Lists",
        "What trends now",
        {"200": ("Best first.", _JSON, "Trending")},
        (
            _size("limit", "Items wanted."),
            _param("category", _TEXT, 'A category path such as "Home > Kitchen".'),
        ),
        errors=("422",),
    ),
    Route(
        "POST",
        "/v1/items",
        "post_items",
        "Items",
        'Register or replace one item, an array, or {"items": [...]}, up to 1,000',
        {"200": ("Registered; bad ones are listed.", _JSON, "ItemsTaken")},
        body=("ItemIn", "items"),
    ),
    Route(
        "GET",
        "/v1/items/{item_id}",
        "get_item",
        "Items",
        "An item as it is registered",
        {"200": ("The item.", _JSON, "Item")},
        (_ITEM,),
        errors=("404", "422"),
    ),
    Route(
        "PUT",
        "/v1/items/{item_id}",
        "put_item",
        "Items",
        "Register or replace an item",
        {"200": ("As it is registered now.", _JSON, "ItemTaken")},
        (_ITEM,),
        ("ItemFields",),
        ("404",),
    ),
    Route(
        "PATCH",
        "/v1/items/{item_id}",
        "patch_item",
        "Items",
        "Change what the body names; null resets a field or removes an attribute",
        {"200": ("As it is registered now.", _JSON, "ItemTaken")},
        (_ITEM,),
        ("ItemChange",),
        ("404",),
    ),
    Route(
        "DELETE",
        "/v1/items/{item_id}",
        "delete_item",
        "Items",
        "Withdraw an item from all lists",
        {"204": ("Withdrawn.", "", "")},
        (_ITEM,),
        errors=("404", "422"),
    ),
    Route(
        "GET",
        "/v1/users",
        "get_users",
        "Users",
        "The users of the newest events",
        {"200": ("The latest first.", _JSON, "Users")},
        (
            _param(
                "limit",
                {"type": "integer", "minimum": 1, "maximum": MOST_USERS, "default": DEFAULT_USERS},
                "Users wanted.",
            ),
        ),
        errors=("422",),
    ),
    Route(
        "GET",
        "/v1/lists",
        "get_lists",
        "Editorial lists",
        "All editorial lists",
        {"200": ("In order of declaration.", _JSON, "Lists")},
    ),
    Route(
        "GET",
        "/v1/lists/{name}",
        "get_list",
        "Editorial lists",
        "One editorial list",
        {"200": ("As it is kept.", _JSON, "ListView")},
        (_NAME,),
        errors=("404",),
    ),
    Route(
        "PUT",
        "/v1/lists/{name}",
        "put_list",
        "Editorial lists",
        "Keep an editorial list, in place of what had its name",
        {"200": ("As it is in force now.", _JSON, "ListTaken")},
        (_NAME,),
        ("ListIn",),
        ("404",),
    ),
    Route(
        "DELETE",
        "/v1/lists/{name}",
        "delete_list",
        "Editorial lists",
        "Withdraw an editorial list",
        {"204": ("Withdrawn.", "", "")},
        (_NAME,),
        errors=("404",),
    ),
    Route(
        "GET",
        "/v1/users/{user_id}",
        "get_user",
        "Users",
        "What is known of a user",
        {"200": ("The state that a person can read.", _JSON, "User")},
        (_USER_ID,),
        errors=("404", "422"),
    ),
    Route(
        "PUT",
        "/v1/users/{user_id}",
        "put_user",
        "Users",
        "Set a user's demographics; what the body does not name is withdrawn",
        {"200": ("As they are now.", _JSON, "ProfileTaken")},
        (_USER_ID,),
        ("ProfileIn",),
        ("404",),
    ),
    Route(
        "PATCH",
        "/v1/users/{user_id}",
        "patch_user",
        "Users",
        "Change the demographics that the body names; null withdraws one",
        {"200": ("As they are now.", _JSON, "ProfileTaken")},
        (_USER_ID,),
        ("ProfileIn",),
        ("404",),
    ),
    Route(
        "POST",
        "/v1/users/{user_id}/interests",
        "post_interests",
        "Users",
        "Take what a user says he likes: categories, brands, items",
        {"200": ("In his preferences, and in his next list.", _JSON, "InterestsTaken")},
        (_USER_ID,),
        ("InterestsIn",),
        ("404",),
    ),
    Route(
        "GET",
        "/v1/onboarding",
        "get_onboarding",
        "Users",
        "Popular things of many kinds, for a new visitor to choose from",
        {"200": ("By popularity.", _JSON, "Onboarding")},
        (_param("n", {"type": "integer", "minimum": 1, "maximum": MOST_OFFERED, "default": 12}, "How many of each."),),
        errors=("422",),
    ),
    Route(
        "DELETE",
        "/v1/users/{user_id}",
        "delete_user",
        "Users",
        "Forget a user",
        {"200": ("Gone from state and lists.", _JSON, "UserErased")},
        (_USER_ID,),
        errors=("404", "422"),
    ),
    Route(
        "GET",
        "/v1/application",
        "get_application",
        "Operation",
        "What the application declares",
        {"200": ("Its event types and surfaces.", _JSON, "Application")},
    ),
    Route(
        "GET",
        "/v1/releases",
        "get_releases",
        "Operation",
        "All releases, with their metrics and gates",
        {"200": ("The newest first.", _JSON, "Releases")},
    ),
    Route(
        "GET",
        "/v1/rules",
        "get_rules",
        "Rules",
        "Every rule, the highest priority first",
        {"200": ("The application's, and those set here.", _JSON, "RulesShown")},
    ),
    Route(
        "GET",
        "/v1/rules/{name}",
        "get_rule",
        "Rules",
        "One rule",
        {"200": ("As it stands.", _JSON, "RuleShown")},
        (_RULE,),
        errors=("404",),
    ),
    Route(
        "PUT",
        "/v1/rules/{name}",
        "put_rule",
        "Rules",
        "Set a rule, in force from the next list on",
        {"200": ("As it is set now.", _JSON, "RuleTaken")},
        (_RULE,),
        ("Rule",),
        ("404",),
    ),
    Route(
        "DELETE",
        "/v1/rules/{name}",
        "delete_rule",
        "Rules",
        "Withdraw a rule",
        {"204": ("Withdrawn.", "", "")},
        (_RULE,),
        errors=("404", "422"),
    ),
    Route(
        "POST",
        "/v1/rules/preview",
        "preview_rule",
        "Rules",
        "A list before and after a rule, which stays unset",
        {"200": ("Side by side.", _JSON, "RulePreview")},
        body=("PreviewIn",),
    ),
    Route(
        "GET",
        "/healthz",
        "get_health",
        "Operation",
        "Whether the process lives",
        {"200": ("It does.", _JSON, "Health")},
        open=True,
    ),
    Route(
        "GET",
        "/readyz",
        "get_readiness",
        "Operation",
        "Whether it can answer: state restored, kernels compiled",
        {"200": ("It can.", _JSON, "Health")},
        errors=("503",),
        open=True,
    ),
    Route(
        "GET",
        "/metrics",
        "get_metrics",
        "Operation",
        "Metrics, as Prometheus reads them",
        {"200": ("The text format.", "text/plain; version=0.0.4; charset=utf-8", {"type": "string"})},
    ),
    Route(
        "GET",
        "/openapi.json",
        "get_openapi",
        "Operation",
        "This description",
        {"200": ("OpenAPI 3.1.", _JSON, {"type": "object"})},
    ),
    Route(
        "GET",
        "/docs",
        "get_docs",
        "Operation",
        "This description as a page",
        {"200": ("HTML.", "text/html; charset=utf-8", {"type": "string"})},
    ),
    Route(
        "GET",
        "/",
        "get_page",
        PAGE_TAG,
        "A page to look at it all",
        {"200": ("HTML.", "text/html; charset=utf-8", {"type": "string"})},
        open=True,
    ),
    Route(
        "GET",
        "/page/{name}",
        "get_page_file",
        PAGE_TAG,
        "A file of the page",
        {"200": ("Script, style or picture.", "text/javascript; charset=utf-8", {"type": "string"})},
        (_in_path("name"),),
        errors=("404",),
        open=True,
    ),
)
"""All of them; a test compares with what the application serves."""
