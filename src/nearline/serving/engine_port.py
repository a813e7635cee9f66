"""What the HTTP layer asks of the engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from nearline.app.definition import App
from nearline.app.sections import Settings
from nearline.schema.clock import Clock
from nearline.schema.declared import Declaration, Declared
from nearline.schema.event import Record
from nearline.schema.item import Item
from nearline.schema.query import Query
from nearline.schema.rules import Rule
from nearline.schema.served import Served, ServedItem, ServedPage
from nearline.serving.onboarding import Onboarding
from nearline.serving.preview import RulePreview
from nearline.serving.replies import Releases
from nearline.serving.why import Why
from nearline.stores.catalog import Catalog
from nearline.stores.recent import RecentUser
from nearline.stores.rulebook import Rulebook


class EnginePort(Protocol):
    """One tenant, running. Coroutines run on the server's loop; none blocks it."""

    app: App
    settings: Settings
    clock: Clock
    catalog: Catalog

    @property
    def ready(self) -> bool:
        """Whether state is restored and kernels are compiled."""
        ...

    @property
    def behind(self) -> bool:
        """Whether more events wait than the settings allow (answer 429)."""
        ...

    async def add_events(self, records: Sequence[Record]) -> int:
        """Make events durable and fold them; return the offset after the last, in its visitor's partition of the log.

        Duplicates by event_id within the horizon are dropped silently: they are accepted already.

        Raises:
            StoreUnavailableError: nothing was written (answer 503 with Retry-After).
        """
        ...

    async def put_items(self, items: Sequence[Item]) -> int:
        """Make items durable and register them; return the offset of `item_events` after the last."""
        ...

    async def delete_item(self, item_id: str) -> bool:
        """Withdraw an item, durably; return whether it was there."""
        ...

    @property
    def declared(self) -> Declared:
        """What is set by name: rules, lists, ..."""
        ...

    @property
    def rules(self) -> Rulebook:
        """The rules of the application and those declared."""
        ...

    async def preview(self, rule: Rule, query: Query) -> RulePreview:
        """Return a list without and with a rule (checked by the caller); neither leaves an impression."""
        ...

    async def declare(self, declaration: Declaration) -> int:
        """Make a declaration (checked by the caller) durable and bring it into force; return its offset."""
        ...

    async def erase_user(self, user_id: str) -> int:
        """Write the tombstone and clear the user's state at once; return the tombstone's offset."""
        ...

    async def recommend(self, query: Query, after: str = "") -> Served:
        """Return a list within the budget, whatever fails; never empty while one item is available that it may hold.

        Args:
            query: who asks.
            after: request_id of an earlier list; what it and its own predecessors showed is left out.
        """
        ...

    async def explain(self, query: Query, item_id: str) -> Why | None:
        """Return why an item is in the list that a query gets, or why not; `None` where it never came."""
        ...

    async def releases(self) -> Releases:
        """Return all releases."""
        ...

    async def recent_users(self, limit: int) -> list[RecentUser]:
        """Return the users of the newest events, the latest first."""
        ...

    async def recommend_later(self, query: Query) -> Served:
        """Return a list once no other request waits, one at a time; it can't be continued."""
        ...

    async def page(self, query: Query) -> ServedPage:
        """Return the page `query.rows`, named `query.page`, within the budget, whatever fails."""
        ...

    async def similar(self, item_id: str, query: Query, limit: int, diversity: float) -> Sequence[SimilarItem] | None:
        """Return items similar to one, `None` where it is unknown."""
        ...

    async def trending(self, limit: int, category: str = "") -> list[ServedItem]:
        """Return what trends."""
        ...

    async def user(self, user_id: str) -> dict[str, Any] | None:
        """Return the state a person can read, `None` where there is none."""
        ...

    async def onboarding(self, n: int) -> Onboarding:
        """Return up to `n` categories and `n` items that a new visitor may choose from."""
        ...

    def gauges(self) -> dict[str, float]:
        """Return the numbers for `/metrics` that only the engine knows, by metric name (see serving/metrics.py)."""
        ...


class SimilarItem(Protocol):
    """One similar item; the score is in 0..1."""

    @property
    def item_id(self) -> str:
        """Its id."""
        ...

    @property
    def similarity_score(self) -> float:
        """How similar, 0..1."""
        ...

    @property
    def similarity_type(self) -> str:
        """What makes it similar: behaviour, content or both."""
        ...

    @property
    def shared_attributes(self) -> list[str]:
        """What both have, in words."""
        ...
