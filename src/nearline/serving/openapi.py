"""The OpenAPI 3.1 document, from the structs that the handlers decode and encode."""

from __future__ import annotations

from typing import Any

import msgspec

from nearline import __version__
from nearline.app.definition import App
from nearline.app.sections import Settings
from nearline.schema.event import DEVICES, EventIn
from nearline.schema.item import Item, ItemIn
from nearline.schema.query import SURFACES
from nearline.schema.rules import MOST_FACTOR, MOST_PLACE, MOST_PRIORITY, Rule
from nearline.schema.served import SERVED_FROM, Served, ServedPage
from nearline.serving.bodies import LONGEST_ID, MOST
from nearline.serving.onboarding import Onboarding
from nearline.serving.openapi_parts import FILTERS, PAGE_TAG, Route
from nearline.serving.openapi_routes import ROUTES
from nearline.serving.params import LOCALE, MOST_EXCLUDED
from nearline.serving.plain_events import MOST_DWELL, MOST_POSITION, MOST_PRICE, MOST_RATING
from nearline.serving.preview import RulePreview
from nearline.serving.problems import ProblemBody
from nearline.serving.profiles import CHOICES, LONGEST_PLACE, MOST_INTERESTS, InterestsIn, ProfileIn
from nearline.serving.replies import (
    Application,
    EventsTaken,
    Health,
    InterestsTaken,
    ItemsTaken,
    ItemTaken,
    ProfileTaken,
    Releases,
    RuleShown,
    RulesShown,
    RuleTaken,
    Similar,
    Trending,
    UserErased,
    Users,
)
from nearline.serving.routes_batch import BatchedLists, ListRequest
from nearline.serving.routes_editorial import Lists, ListTaken, ListView
from nearline.serving.routes_lists import MOST_SIZE
from nearline.serving.rule_bodies import PreviewIn
from nearline.serving.validate import LONGEST_QUERY
from nearline.serving.validate_items import LONGEST, LONGEST_TAG, MOST_TAGS, TIMES
from nearline.serving.validate_lists import LONGEST_TITLE, MOST_ITEMS, ListIn
from nearline.serving.why import Why
from nearline.stores.items import Metadata

Json = dict[str, Any]
_STRUCTS = (
    EventIn, EventsTaken, ItemIn, Item, ItemTaken, ItemsTaken, Served, Similar, Trending, UserErased, Health,
    ProblemBody, Metadata, Application, Releases, Users, Why,
    ListIn, ListView, ListTaken, Lists, ServedPage, ListRequest, BatchedLists,
    ProfileIn, ProfileTaken, InterestsIn, InterestsTaken, Onboarding,
    Rule, RuleTaken, RuleShown, RulesShown, PreviewIn, RulePreview,
)  # fmt: skip
_ID: Json = {"type": "string", "maxLength": LONGEST_ID, "pattern": "^[^\\u0000]*$"}
_ID_OR_NUMBER: Json = {"anyOf": [_ID, {"type": "integer"}]}
_TIME: Json = {
    "anyOf": [
        {"type": "integer"},
        {"type": "number"},
        {"type": "string", "format": "date-time"},
        {"type": "null"},
    ],
    "description": "s or ms UTC, or ISO 8601 with a zone; from 1990 on.",
}
_ERRORS = {
    "400": "The request is not valid JSON.",
    "401": "An API key is needed.",
    "404": "There is no such thing.",
    "405": "The path has other methods.",
    "413": "The body is too large.",
    "415": "The body is not said to be JSON.",
    "422": "The request is wrong; field, value and remedy say how.",
    "429": "Too many events wait; try again after Retry-After seconds.",
    "500": "The server made a mistake.",
    "503": "Not ready, or the store can't write; nothing is lost. Try again after Retry-After seconds.",
}


def document(app: App, settings: Settings) -> Json:
    """Return the description of the API as this application has it."""
    _, schemas = msgspec.json.schema_components(_STRUCTS, ref_template="#/components/schemas/{name}")
    _refine(schemas, app)
    paths: Json = {}
    for route in ROUTES:
        if route.tag == PAGE_TAG and not settings.server.page:
            continue
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, bool(settings.server.api_key))
    described: Json = {
        "openapi": "3.1.0",
        "info": {
            "title": "Nearline",
            "version": __version__,
            "description": "Real-time recommendations: a click changes the very next list.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": schemas},
    }
    if settings.server.api_key:
        described["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
    return described


def _operation(route: Route, secured: bool) -> Json:
    made: Json = {
        "operationId": route.name,
        "tags": [route.tag],
        "summary": route.summary,
        "parameters": [dict(p) for p in route.parameters],
        "responses": {},
    }
    if route.body:
        made["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _body(route.body)}},
        }
    id_header = {"X-Request-Id": {"schema": {"type": "string"}, "description": "In the logs, too."}}
    for status, (description, kind, schema) in route.answers.items():
        content = {kind: {"schema": _named(schema)}} if kind else {}
        made["responses"][status] = {"description": description, "headers": id_header}
        if content:
            made["responses"][status]["content"] = content
    codes = ["405", "500", *route.errors]
    if route.body:
        codes += ["400", "413", "415", "422"]
    if route.path.startswith("/v1/"):
        codes += ["503"]
    if secured and not route.open:
        codes += ["401"]
        made["security"] = [{"bearer": []}, {"header": []}]
    for code in sorted(set(codes)):
        content = {"application/problem+json": {"schema": _named("ProblemBody")}}
        headers: Json = dict(id_header)
        if code in ("429", "503"):
            headers["Retry-After"] = {"schema": {"type": "integer", "minimum": 1}, "description": "Seconds."}
        made["responses"][code] = {"description": _ERRORS[code], "content": content, "headers": headers}
    return made


def _named(schema: str | Json) -> Json:
    return {"$ref": f"#/components/schemas/{schema}"} if isinstance(schema, str) else schema


def _body(names: tuple[str, ...]) -> Json:
    """Return the schema of one struct or, where an array's name follows, of its three forms."""
    one = _named(names[0])
    if len(names) == 1:
        return one
    many = {"type": "array", "items": one, "minItems": 1, "maxItems": MOST}
    wrapped = {
        "type": "object",
        "properties": {names[1]: many},
        "required": [names[1]],
        "additionalProperties": False,
    }
    return {"anyOf": [one, many, wrapped]}


def _refine(schemas: Json, app: App) -> None:
    """Say what the structs' types can't: bounds, the application's event types, what context may hold."""
    event = schemas["EventIn"]["properties"]
    event["event_type"] = {"type": "string", "enum": [kind.name for kind in app.types]}
    event["user_id"] = event["item_id"] = _ID_OR_NUMBER
    event["event_id"] = event["session_id"] = _ID
    event["timestamp"] = _TIME
    device = {"description": f"One of {', '.join(filter(None, DEVICES))}; another is kept, and means nothing."}
    event["context"] = _open(
        page=_ID_OR_NUMBER,
        position={"type": "integer", "minimum": 0, "maximum": MOST_POSITION},
        request_id=_ID_OR_NUMBER,
        session_id=_ID_OR_NUMBER,
    )
    event["context"]["properties"]["device"] = device
    event["event_value"] = _open(
        rating={"type": "number", "minimum": 0, "maximum": MOST_RATING},
        dwell_ms={"type": "integer", "minimum": 0, "maximum": MOST_DWELL},
        price={"type": "number", "minimum": -MOST_PRICE, "maximum": MOST_PRICE},
        watch_percent={"type": "number", "minimum": 0, "maximum": 100},
        query={"type": "string", "maxLength": LONGEST_QUERY},
    )
    _refine_rules(schemas, app)
    item = schemas["ItemIn"]
    for name, most in LONGEST.items():
        item["properties"][name] = {"type": "string", "maxLength": most, "pattern": "^[^\\u0000]*$"}
    item["properties"]["price"] = {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1e12}, {"type": "null"}]}
    tag = {"type": "string", "minLength": 1, "maxLength": LONGEST_TAG}
    item["properties"]["tags"] = item["properties"]["regions"] = {"type": "array", "items": tag, "maxItems": MOST_TAGS}
    item["properties"] |= dict.fromkeys(TIMES, _TIME)
    item["properties"]["item_id"] = {"anyOf": [{**_ID, "minLength": 1}, {"type": "integer"}]}
    addressed = {name: schema for name, schema in item["properties"].items() if name != "item_id"}
    schemas["ItemFields"] = {
        "type": "object",
        "description": "An item whose id is in the path.",
        "properties": addressed,
    }
    schemas["ItemChange"] = {
        "type": "object",
        "description": "What changes; null resets a field.",
        "properties": {name: {"anyOf": [schema, {"type": "null"}]} for name, schema in addressed.items()},
    }
    asked = schemas["ListRequest"]["properties"]
    asked["user_id"] = asked["session_id"] = asked["item_id"] = _ID_OR_NUMBER
    asked["location"] = _ID
    asked["context"] = {"type": "string", "enum": list(SURFACES)}
    asked["device"] = {"type": "string", "enum": list(DEVICES)}
    asked["locale"] = {"anyOf": [{"type": "string", "pattern": LOCALE, "maxLength": 44}, {"const": ""}]}
    asked["page_size"] = {"type": "integer", "minimum": 1, "maximum": MOST_SIZE}
    asked["filter"] = FILTERS
    asked["exclude"] = asked["cart"] = {"type": "array", "items": _ID_OR_NUMBER, "maxItems": MOST_EXCLUDED}
    own = schemas["ListIn"]["properties"]
    one = {"anyOf": [{**_ID, "minLength": 1}, {"type": "integer"}]}
    own["item_ids"] = {"type": "array", "items": one, "minItems": 1, "maxItems": MOST_ITEMS}
    own["title"] = {"type": "string", "maxLength": LONGEST_TITLE, "pattern": _ID["pattern"]}
    own["starts"] = own["ends"] = _TIME
    own["surfaces"] = {"type": "array", "items": {"type": "string", "enum": list(SURFACES)}}
    profile = schemas["ProfileIn"]
    for name, values in CHOICES.items():
        profile["properties"][name] = {"anyOf": [{"type": "string", "enum": list(values)}, {"type": "null"}]}
    place = {"type": "string", "minLength": 1, "maxLength": LONGEST_PLACE, "pattern": "^[^\\u0000]*$"}
    profile["properties"]["location"] = {"anyOf": [place, {"type": "null"}]}
    interests = schemas["InterestsIn"]
    interests["minProperties"] = 1
    for schema in interests["properties"].values():
        schema.pop("default", None)
        schema["maxItems"] = MOST_INTERESTS
    schemas["ServedPage"]["properties"]["served_from"] = schemas["Served"]["properties"]["served_from"] = {
        "type": "string",
        "enum": list(SERVED_FROM),
        "description": "; ".join(f"{name}: {what}" for name, what in SERVED_FROM.items()),
    }
    schemas["ServedItem"]["properties"]["metadata"] = _named("Metadata")
    similar = {
        "item_id": {"type": "string"},
        "similarity_score": {"type": "number"},
        "similarity_type": {"type": "string"},
        "shared_attributes": {"type": "array", "items": {"type": "string"}},
    }
    schemas["SimilarItem"] = {"type": "object", "properties": similar, "required": list(similar)}
    schemas["Similar"]["properties"]["items"] = {"type": "array", "items": _named("SimilarItem")}
    schemas["User"] = {
        "type": "object",
        "description": "The state that a person can read.",
        "properties": {
            "recent_views": {"type": "array"},
            "recent_searches": {
                "type": "array",
                "description": "When each of the last searches was, and of how many words; what for is not kept.",
                "items": {
                    "type": "object",
                    "properties": {"at": {"type": "string", "format": "date-time"}, "words": {"type": "integer"}},
                },
            },
            "preferences": {"type": "object"},
            "demographics": {"type": "object"},
            "session_context": {"type": ["object", "null"]},
        },
    }


def _refine_rules(schemas: Json, app: App) -> None:
    """Say the bounds of what rules hold, and which attributes conditions may name."""
    rule = schemas["Rule"]["properties"]
    rule["priority"] = {"type": "integer", "minimum": -MOST_PRIORITY, "maximum": MOST_PRIORITY, "default": 0}
    rule["where"]["minItems"] = 1
    for name in ("Boost", "Bury"):
        schemas[name]["properties"]["factor"] = {"type": "number", "exclusiveMinimum": 1, "maximum": MOST_FACTOR}
    place = {"type": "integer", "minimum": 1, "maximum": MOST_PLACE}
    schemas["Pin"]["properties"]["position"] = place
    for name in ("AtLeast", "AtMost"):
        schemas[name]["properties"] |= {"first": place, "count": {**place, "minimum": int(name == "AtLeast")}}
    schemas["AtLeast"]["properties"]["label"] = {"type": "string", "maxLength": 64, "pattern": "^[^\\u0000]*$", "default": ""}
    schemas["Condition"]["description"] += f" Attributes of items: {', '.join(app.condition_kinds)}."
    asked = schemas["PreviewIn"]["properties"]
    asked["rule"] = _named("Rule")
    asked["user_id"] = asked["item_id"] = _ID_OR_NUMBER
    asked["session_id"] = asked["locale"] = asked["location"] = _ID
    asked["context"], asked["device"] = {"type": "string", "enum": list(SURFACES)}, {"type": "string", "enum": list(DEVICES)}
    asked["page_size"] = {"type": "integer", "minimum": 1, "maximum": MOST_SIZE}
    asked["filter"] = FILTERS


def _open(**known: Json) -> Json:
    """Return an object with known fields, each of which may be null, and any others."""
    properties = {name: {"anyOf": [schema, {"type": "null"}]} for name, schema in known.items()}
    return {"type": "object", "properties": properties, "description": "Anything more is kept as it is."}
