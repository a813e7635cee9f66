"""What a person would do with a running server, through its HTTP API: ask, click, ask again, and look at what moved."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from nearline.schema.errors import NearlineError
from nearline.sim.client import Client

PLACES = 10
PERSONAL = 4
"""Places of a list that do not just trend, from which it is worth showing."""
PATIENCE = 30.0
"""Seconds to wait for the server's first answer."""


class Why(msgspec.Struct, frozen=True):
    """The part of an explanation that a person reads."""

    type: str = ""
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
        likes: categories that the user prefers, the first ones.
        clicked: the item he clicked.
        before, after: the lists.
        durable_ms: from sending the click to the 202.
        shown_ms: from sending the click to a list that has seen it.
        list_ms: how long that list took.
        sent: when the click was sent, by `time.perf_counter`.
        offset: the click's, in its visitor's partition of the log.
    """

    user_id: str
    likes: list[str]
    clicked: Place
    before: Listed
    after: Listed
    durable_ms: float
    shown_ms: float
    list_ms: float
    sent: float = 0.0
    offset: int = 0


def walk(base_url: str, users: Sequence[str], api_key: str = "") -> Walk:
    """Ask for a user's list, click something unlike it, ask again.

    Args:
        base_url: of the server, which may still be starting.
        users: the first whose list is personal is taken.
        api_key: sent where the server asks for one.

    Raises:
        NearlineError: the server does not answer, or answers with an error.
    """
    api = _Api(base_url, api_key)
    try:
        api.wait()
        for user_id in users:
            before = api.recommend(user_id)
            if sum(place.explanation.type != "trending" for place in before.items) >= PERSONAL:
                break
        else:
            before = api.recommend(user_id := users[0])
        if not before.items:
            raise NearlineError("recommendations", user_id, "the server has no items: import some first")
        trending = api.get("/v1/trending?limit=100", Listed).items
        likes = api.likes(user_id)
        clicked = pick(before.items, trending, likes)
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
    return Walk(user_id, likes[:3], clicked, before, after, *times, sent, taken.offset - 1)


def pick(shown: Sequence[Place], trending: Sequence[Place], liked: Sequence[str]) -> Place:
    """Return what to click: the most popular item that is not in the list, of a category as foreign to it as there is.

    Args:
        shown: the list before.
        trending: popular items, best first.
        liked: categories that the user prefers, as paths.
    """
    there = {place.item_id for place in shown}
    others = [place for place in trending if place.item_id not in there] or list(shown[-1:])
    known = {place.metadata.category for place in shown} | set(liked)
    roots = {category.split(" > ")[0] for category in known}
    named = [place for place in others if place.metadata.category]
    foreign = [place for place in named if place.metadata.category not in known]
    farthest = [place for place in foreign if place.metadata.category.split(" > ")[0] not in roots]
    return (farthest or foreign or others)[0]


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

    def likes(self, user_id: str) -> list[str]:
        """Return the categories that a user prefers, the first one most."""
        path = f"/v1/users/{quote(user_id, safe='')}"
        answer = self._client.get(path)
        if answer.status == 404:
            return []
        state = self._read(path, answer, dict[str, Any])
        return [found["name"] for found in state.get("preferences", {}).get("categories", ())]

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
    likes = ", ".join(category.split(" > ")[-1] for category in found.likes)
    out.print()
    out.print(
        f"[bold]1.[/] User [bold]{escape(found.user_id)}[/]{f', who likes {escape(likes)},' if likes else ''} asks for a list."
    )
    category = found.clicked.metadata.category
    out.print(
        f"[bold]2.[/] Then comes a click on [bold]{escape(found.clicked.name)}[/]{f', {escape(category)}' if category else ''}."
    )
    out.print("[bold]3.[/] And the same request again:\n")
    out.print(compare(found.before.items, found.after.items, out.width))
    out.print(
        f"\nThe click was on disk after [bold]{found.durable_ms:.1f} ms[/] and in the next list after"
        f" [bold]{found.shown_ms:.1f} ms[/]; that list took {found.list_ms:.1f} ms."
    )
    out.print("\n[bold]The same by hand:[/]")
    for line in by_hand(found.user_id, found.clicked.item_id, base_url):
        out.print(f"  {line}", markup=False, soft_wrap=True)
    out.print(
        f"In a browser: {base_url}/ shows lists, reasons, how a click travels; {base_url}/docs all endpoints", soft_wrap=True
    )


def compare(before: Sequence[Place], after: Sequence[Place], width: int = 80) -> Table:
    """Return both lists side by side: what is new, what went up or down, and why it is there.

    Args:
        before: the first list.
        after: the second.
        width: characters that the table may take.
    """
    was = {place.item_id: rank for rank, place in enumerate(before, 1)}
    now = {place.item_id for place in after}
    title = max(16, min(30, (width - 14) // 3))
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("", justify="right", style="dim", width=2)
    table.add_column("before", overflow="ellipsis", no_wrap=True, width=title)
    table.add_column("", justify="right", width=3)
    table.add_column("after", overflow="ellipsis", no_wrap=True, width=title)
    table.add_column("why", overflow="ellipsis", no_wrap=True, width=max(16, min(44, width - 14 - 2 * title)))
    for rank in range(1, max(len(before), len(after)) + 1):
        old = before[rank - 1] if rank <= len(before) else None
        new = after[rank - 1] if rank <= len(after) else None
        left = Text("") if old is None else Text(old.name, style="" if old.item_id in now else "dim")
        moved, style = ("", "") if new is None else movement(was.get(new.item_id), rank)
        right = Text("" if new is None else new.name, style=style)
        why = Text("" if new is None else new.explanation.reason, style="dim")
        table.add_row(str(rank), left, Text(moved, style=style), right, why)
    return table


def movement(was: int | None, rank: int) -> tuple[str, str]:
    """Return how a place moved, and its style."""
    if was is None:
        return "new", "bold green"
    if was == rank:
        return "=", "dim"
    return (f"↑{was - rank}", "green") if was > rank else (f"↓{rank - was}", "yellow")


def by_hand(user_id: str, item_id: str, base_url: str) -> tuple[str, str]:
    """Return the commands that do the same in a shell."""
    event = msgspec.json.encode({"user_id": user_id, "event_type": "click", "item_id": item_id}).decode()
    asked = urlencode({"user_id": user_id, "page_size": PLACES})
    return (
        f"curl {shlex.quote(f'{base_url}/v1/recommendations?{asked}')}",
        f"curl {base_url}/v1/events -H 'Content-Type: application/json' -d {shlex.quote(event)}",
    )
