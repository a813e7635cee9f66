"""What a person would do with a running server, through its HTTP API: ask, click, ask again, and look at what moved."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from nearline.schema.errors import NearlineError
from nearline.sim.client import Client

PLACES = 10
PATIENCE = 30.0
"""Seconds to wait for the server's first answer."""


class Why(msgspec.Struct, frozen=True):
    """The part of an explanation that a person reads."""

    reason: str = ""


class About(msgspec.Struct, frozen=True):
    """The part of an item's metadata that a person reads."""

    title: str = ""
    category: str = ""


class Place(msgspec.Struct, frozen=True):
    """One place of a list."""

    item_id: str
    explanation: Why = Why()
    metadata: About = About()

    @property
    def name(self) -> str:
        """Return the title, or the id where there is none."""
        return self.metadata.title or self.item_id


class Listed(msgspec.Struct, frozen=True):
    """A list as served."""

    items: list[Place]
    model_version: str = ""
    served_from: str = ""
    offset: int = 0


class Taken(msgspec.Struct, frozen=True):
    """The answer to an event."""

    offset: int


@dataclass(frozen=True, slots=True)
class Walk:
    """What was asked and what came.

    Attributes:
        user_id: who asked.
        recent: titles of what he did last.
        clicked: the item he clicked.
        before, after: the lists.
        durable_ms: from sending the click to the 202.
        shown_ms: from sending the click to a list that has seen it.
        list_ms: how long that list took.
    """

    user_id: str
    recent: list[str]
    clicked: Place
    before: Listed
    after: Listed
    durable_ms: float
    shown_ms: float
    list_ms: float


def walk(base_url: str, users: Sequence[str], api_key: str = "") -> Walk:
    """Ask for a user's list, click something unlike it, ask again.

    Args:
        base_url: of the server, which may still be starting.
        users: the first whose list is full is taken.
        api_key: sent where the server asks for one.

    Raises:
        NearlineError: the server does not answer, or answers with an error.
    """
    api = _Api(base_url, api_key)
    try:
        api.wait()
        for user_id in users:
            before = api.recommend(user_id)
            if len(before.items) == PLACES:
                break
        if not before.items:
            raise NearlineError("recommendations", user_id, "the server has no items: import some first")
        trending = api.get("/v1/trending?limit=100", Listed).items
        names = {place.item_id: place.name for place in (*trending, *before.items)}
        recent, liked = api.tastes(user_id, names)
        clicked = pick(before.items, trending, liked)
        sent = time.perf_counter()
        taken = api.click(user_id, clicked.item_id)
        durable = time.perf_counter()
        asked = durable
        after = api.recommend(user_id)
        while after.offset < taken.offset and time.perf_counter() - sent < PATIENCE:
            asked = time.perf_counter()
            after = api.recommend(user_id)
        done = time.perf_counter()
    finally:
        api.close()
    times = (1e3 * (durable - sent), 1e3 * (done - sent), 1e3 * (done - asked))
    return Walk(user_id, recent, clicked, before, after, *times)


def pick(shown: Sequence[Place], trending: Sequence[Place], liked: set[str]) -> Place:
    """Return what to click: the most popular item that is not in the list, of a category as foreign to it as there is.

    Args:
        shown: the list before.
        trending: popular items, best first.
        liked: categories that the user prefers, as paths.
    """
    there = {place.item_id for place in shown}
    others = [place for place in trending if place.item_id not in there] or list(shown[-1:])
    known = {place.metadata.category for place in shown} | liked
    roots = {category.split(" > ")[0] for category in known}
    for strange in (
        lambda place: place.metadata.category.split(" > ")[0] not in roots,
        lambda place: place.metadata.category not in known,
    ):
        for place in others:
            if place.metadata.category and strange(place):
                return place
    return others[0]


class _Api:
    """The requests of the walk."""

    def __init__(self, base_url: str, api_key: str) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = Client(base_url, headers, tries=3)
        self.close = self._client.close

    def wait(self) -> None:
        """Wait until the server answers."""
        until = time.monotonic() + PATIENCE
        while not self._client.get("/readyz").ok:
            if time.monotonic() > until:
                raise NearlineError("/readyz", "no answer", f"the server did not start within {PATIENCE:g} s; try again")
            time.sleep(0.05)

    def get(self, path: str, kind: type[Any]) -> Any:
        """Return the answer to a GET."""
        return self._read(path, self._client.get(path), kind)

    def recommend(self, user_id: str) -> Listed:
        """Return a list."""
        found: Listed = self.get(f"/v1/recommendations?{urlencode({'user_id': user_id, 'page_size': PLACES})}", Listed)
        return found

    def tastes(self, user_id: str, names: dict[str, str]) -> tuple[list[str], set[str]]:
        """Return the titles of what a user did last, where known, and the categories he prefers."""
        path = f"/v1/users/{quote(user_id, safe='')}"
        answer = self._client.get(path)
        if answer.status == 404:
            return [], set()
        state = self._read(path, answer, dict[str, Any])
        recent = dict.fromkeys(view["item_id"] for view in state.get("recent_views", ()))
        liked = {found["name"] for found in state.get("preferences", {}).get("categories", ())}
        return [names.get(item_id, item_id) for item_id in recent][:3], liked

    def click(self, user_id: str, item_id: str) -> Taken:
        """Send a click; return when it is durable."""
        event = {"user_id": user_id, "event_type": "click", "item_id": item_id, "context": {"page": "search"}}
        taken: Taken = self._read("/v1/events", self._client.post("/v1/events", msgspec.json.encode(event)), Taken)
        return taken

    @staticmethod
    def _read(path: str, answer: Any, kind: type[Any]) -> Any:
        if not answer.ok:
            remedy = f"the server said: {answer.body.decode(errors='replace')[:300] or 'nothing'}"
            raise NearlineError(path, answer.status, remedy)
        return msgspec.json.decode(answer.body, type=kind)


def tell(found: Walk, base_url: str, out: Console) -> None:
    """Print a walk: both lists with what moved and why, the times, and how to do it by hand."""
    out.print()
    out.print(f"[bold]1.[/] The list of user [bold]{escape(found.user_id)}[/], as it was"
              f" (release {escape(found.before.model_version)}).")  # fmt: skip
    clicked = found.clicked.metadata.category
    category = f" [dim]({escape(clicked)})[/]" if clicked else ""
    out.print(f"[bold]2.[/] He clicks [bold]{escape(found.clicked.name)}[/]{category}.")
    out.print("[bold]3.[/] The list he gets next:")
    out.print(compare(found.before.items, found.after.items))
    out.print(
        f"The click was on disk after [bold]{found.durable_ms:.1f} ms[/], and in the list after"
        f" [bold]{found.shown_ms:.1f} ms[/] (the list itself took {found.list_ms:.1f} ms). Nothing was trained for it."
    )
    out.print()
    out.print(by_hand(found.user_id, found.clicked.item_id, base_url))


def compare(before: Sequence[Place], after: Sequence[Place]) -> Table:
    """Return both lists side by side: what is new, what went up or down, and why it is there."""
    was = {place.item_id: rank for rank, place in enumerate(before, 1)}
    now = {place.item_id for place in after}
    table = Table(box=None, padding=(0, 1), expand=False)
    table.add_column("", justify="right", style="dim", no_wrap=True)
    table.add_column("before", overflow="ellipsis", no_wrap=True, max_width=28)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("after the click", overflow="ellipsis", no_wrap=True, max_width=28)
    table.add_column("why", overflow="ellipsis", no_wrap=True, max_width=44)
    for rank in range(1, max(len(before), len(after)) + 1):
        old = before[rank - 1] if rank <= len(before) else None
        new = after[rank - 1] if rank <= len(after) else None
        left: RenderableType = "" if old is None else Text(old.name, style="" if old.item_id in now else "dim strike")
        moved, style = ("", "") if new is None else movement(was.get(new.item_id), rank)
        right = "" if new is None else Text(new.name, style=style)
        why = "" if new is None else Text(new.explanation.reason, style="dim")
        table.add_row(str(rank), left, Text(moved, style=style), right, why)
    return table


def movement(was: int | None, rank: int) -> tuple[str, str]:
    """Return how a place moved, and its style."""
    if was is None:
        return "new", "bold green"
    if was == rank:
        return "=", "dim"
    return (f"↑{was - rank}", "green") if was > rank else (f"↓{rank - was}", "yellow")


def by_hand(user_id: str, item_id: str, base_url: str) -> RenderableType:
    """Return the commands that do the same, and where the documentation is."""
    event = msgspec.json.encode({"user_id": user_id, "event_type": "click", "item_id": item_id}).decode()
    asked = urlencode({"user_id": user_id, "page_size": PLACES})
    lines = (
        f"curl '{base_url}/v1/recommendations?{asked}'",
        f"curl '{base_url}/v1/events' -d '{event.replace(chr(39), chr(92) + 'u0027')}'",
    )
    title = Text("The same by hand:", style="bold")
    return Group(title, *(Text("  " + line, overflow="ignore", no_wrap=True) for line in lines),
                 Text(f"All endpoints: {base_url}/docs"))  # fmt: skip
