"""The protocols of components: folds, features, sources, rankers, rules."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32, Arranged, Candidates, Ranked, Retrieved
from nearline.schema.clock import MINUTE
from nearline.schema.conditions import Attributes
from nearline.schema.declared import Declared
from nearline.schema.event import Events
from nearline.schema.examples import Examples as Examples
from nearline.schema.examples import Places as Places
from nearline.schema.factors import Factoriser
from nearline.schema.item_tokens import ItemTokens
from nearline.schema.query import Query
from nearline.schema.rules import Rules
from nearline.schema.showings import Showings
from nearline.schema.vectors import Embedding, VectorIndex

Rows = NDArray[np.void]
Arrays = dict[str, NDArray[Any]]
Entity = Literal["user", "item"]
Tier = Literal["hot", "history"]

KEEP, HOT_EXPIRED, ALL_EXPIRED = 0, 1, 2
"""Codes of `FoldBatch.reset`: what of the user's state had expired before the event."""


@dataclass(frozen=True, slots=True)
class FoldBatch:
    """Events with the rows they touch, in log order.

    Attributes:
        events: `[n] EVENT`.
        users: slots of visitors, `[n] int32`.
        items: slots of items, -1 for none, `[n] int32`.
        reset: whether the visitor's rows had expired before this event, `[n] uint8`.
    """

    events: Events
    users: I32
    items: I32
    reset: NDArray[np.uint8]


class Fold(Protocol):
    """State with one fixed-size row per key, moved by events.

    User folds see their user's events in log order; item folds must be commutative, so that the interleaving of
    partitions changes no byte. Updates are integer arithmetic only.
    """

    name: str
    entity: Entity
    tier: Tier
    dtype: np.dtype[np.void]

    def update(self, rows: Rows, batch: FoldBatch) -> None:
        """Move `rows` (`[n_slots] dtype`) by a batch, in its order."""
        ...


class Stateful(Protocol):
    """State of variable size that moves with events (neighbour tables, suppression lists)."""

    name: str

    def update(self, batch: FoldBatch) -> None:
        """Move by a batch, in its order."""
        ...

    def dump(self) -> Arrays:
        """Return everything needed to continue, as arrays."""
        ...

    def load(self, arrays: Arrays) -> None:
        """Continue from what `dump` returned."""
        ...

    def forget(self, user: int) -> None:
        """Clear what is kept of the visitor in slot `user`."""
        ...

    def nbytes(self) -> int:
        """Return the bytes in use."""
        ...


@dataclass(frozen=True, slots=True)
class ItemColumns:
    """The catalogue by slot; all arrays `[n_slots]`.

    Attributes:
        key: of the item's id, uint64.
        category: key of the whole path, uint32.
        brand: key, uint32.
        price: float32, NaN for none.
        created: ms UTC, 0 for unknown, int64.
        available: registered and not withdrawn, bool.
        top: key of the first part of the category's path, uint32.
        begins, ends: when it is offered from and until, ms UTC, 0 for no such limit, int64.
        owner: key of the user who offers it, uint64.
        regions: number of its set of regions, 0 for everywhere, int32.
    """

    key: NDArray[np.uint64]
    category: NDArray[np.uint32]
    brand: NDArray[np.uint32]
    price: NDArray[np.float32]
    created: NDArray[np.int64]
    available: NDArray[np.bool_]
    top: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))
    begins: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    ends: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    owner: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    regions: I32 = field(default_factory=lambda: np.zeros(0, np.int32))


@dataclass(frozen=True, slots=True)
class UserState:
    """A visitor's rows, read once per request; expired ones are blank.

    Attributes:
        slot: place in the process's tables, -1 when never seen.
        rows: fold name to its row, `[1] dtype`.
        offset: of the last event folded into the row, -1 for none.
        seen: up to which offset the partition of his events is in the rows.
        last: when he was last here, ms UTC; 0 for never.
        memo: what components derived from the rows for this request and others may use again.
    """

    slot: int
    rows: Mapping[str, Rows]
    offset: int
    seen: int = 0
    last: int = 0
    memo: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReadContext:
    """What a feature may read.

    Attributes:
        query: who asks, and `now`.
        user: the visitor's rows.
        candidates: the `n` candidates.
        rows: item folds by name, `[n_slots] dtype`.
        columns: the catalogue.
    """

    query: Query
    user: UserState
    candidates: Candidates
    rows: Mapping[str, Rows]
    columns: ItemColumns

    @property
    def minute(self) -> int:
        """The moment of item features: `now` rounded down to the minute, ms UTC."""
        return self.query.now // MINUTE * MINUTE


class Feature(Protocol):
    """A vectorised read over user row, item rows and query, giving columns.

    `folds` are the folds it reads; the state keeps those of all features that the application uses.
    """

    @property
    def name(self) -> str:
        """The word by which it is found."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its columns, different from all others."""
        ...

    @property
    def folds(self) -> tuple[Fold, ...]:
        """The folds it reads."""
        ...

    @property
    def time_based(self) -> bool:
        """Whether it needs real times; left out for order-only data."""
        ...

    def read(self, context: ReadContext, out: F32) -> None:
        """Fill `out`, `[n_columns, n_candidates] float32`; missing is NaN."""
        ...


class ItemFeature(ABC):
    """A `Feature` of the item and the minute alone, the same for every visitor and query.

    Its moment is `now` rounded down to the minute, wherever it is read, so that the pipeline may keep an item's values
    until the minute is over, or an event or the catalogue changes the item.
    """

    name: str
    columns: tuple[str, ...]
    folds: tuple[Fold, ...]
    time_based: bool

    @abstractmethod
    def read_items(self, rows: Mapping[str, Rows], columns: ItemColumns, slots: I32, now: int, out: F32) -> None:
        """Fill `out`, `[n_columns, n] float32`, for items; missing is NaN.

        Args:
            rows: item folds by name, `[n_slots] dtype`.
            columns: the catalogue.
            slots: which items, `[n] int32`.
            now: a full minute, ms UTC; events of the minute that has begun are in the rows already.
            out: `[n_columns, n] float32`.
        """

    def read(self, context: ReadContext, out: F32) -> None:
        """Fill `out`, `[n_columns, n_candidates] float32`, at the request's minute."""
        self.read_items(context.rows, context.columns, context.candidates.items, context.minute, out)


def silent(_: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class FitData:
    """What a source may learn from: all that happened before the split.

    Attributes:
        events: `[n] EVENT` in log order.
        items: keys of the items that are in the catalogue, `[n_items] uint64`.
        now: the time of the split, ms UTC.
        seed: for any randomness.
        since: the time from which events count, ms UTC.
        factoriser: who factorises; the source itself, in this process, where there is none.
        order_only: times are made up, and say nothing but the order.
        tokens: what the catalogue says of `items`, in their order; `None` where it was not asked.
        earlier: what this source's `fit` returned before, knowing nothing after `now`: training may go on from there, and what
            it says of items that nobody touched since is kept; `{}` where it had too little to learn from, `None` where there
            was no such fit.
        share: of visitors whose events these are; who reads events himself takes those that `interactions.drawn` draws.
        say: told how a long training goes on, and why a source learns nothing.
    """

    events: Events
    items: NDArray[np.uint64]
    now: int
    seed: int
    since: int = 0
    factoriser: Factoriser | None = None
    order_only: bool = False
    tokens: ItemTokens | None = None
    earlier: Arrays | None = None
    share: float = 1.0
    say: Callable[[str], None] = silent


class World(Protocol):
    """What a bound component may read while serving: catalogue, item slots, rows."""

    @property
    def columns(self) -> ItemColumns:
        """The catalogue by slot."""
        ...

    @property
    def rows(self) -> Mapping[str, Rows]:
        """Item and user fold rows by name, `[n_slots] dtype`."""
        ...

    @property
    def parts(self) -> Mapping[str, Stateful]:
        """State of variable size by name."""
        ...

    @property
    def declared(self) -> Declared:
        """What is set by name while serving: rules, lists, ..."""
        ...

    @property
    def attributes(self) -> Attributes:
        """Which items meet conditions."""
        ...

    @property
    def showings(self) -> Showings:
        """What visitors were shown of late, and sent."""
        ...

    @property
    def item_fields(self) -> AbstractSet[str]:
        """Which of the rarer fields some item has had: "window", "owner", "regions"; what nobody has needs no look."""
        ...

    @property
    def region_sets(self) -> Sequence[AbstractSet[str]]:
        """The regions by number; only ever added to."""
        ...

    @property
    def rules(self) -> Rules:
        """The rules that are declared, and which of them a request is under."""
        ...

    @property
    def version(self) -> int:
        """Changes whenever state changes."""
        ...

    @property
    def n_items(self) -> int:
        """Number of item slots in use."""
        ...

    @property
    def catalog_version(self) -> int:
        """Changes whenever an item changes."""
        ...

    @property
    def item_marks(self) -> NDArray[np.uint32]:
        """Numbers by item slot; an item's changes after its rows or its place in the catalogue did."""
        ...

    def item_slots(self, keys: NDArray[np.uint64]) -> I32:
        """Return the slots of item keys, -1 where unknown, `[n] int32`."""
        ...

    def item_tokens(self) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Return attribute tokens of all slots as (tokens, offsets `[n_slots + 1]`)."""
        ...

    def item_texts(self) -> list[str]:
        """Return the title and the texts of all slots, "" where there is none."""
        ...

    def item_labels(self) -> list[str]:
        """Return category, brand and tags of all slots as text, "" where there is none."""
        ...

    def index_of(self, embedding: Embedding) -> VectorIndex:
        """Return the index that an embedding is in, or is to be put into; `sources.vector_search` asks it."""
        ...


class Source(Protocol):
    """One way to find candidates: fit in batch, update in stream, fetch while serving.

    A source that learns in batch returns arrays from `fit` and reads them back in `load`; one that moves with events
    lists its state in `state`. `reason` is the type of its explanations and `template` their words, where `{title}` stands for
    the item that led there. It may name the `surfaces` where it is asked, by default all; with `fills = True` it is asked on
    the others too, where the rest found fewer items than a page has. With `needs_role` it is a default only where an event
    type has that role. Its `family` (see `pipeline.blend`) says how much it counts where no ranker orders the candidates:
    collaborative, content (where it says none), intent, personal, preferences, segment, editorial, popularity or rules; with
    `counted = True` its scores are counts, at least 0, and an item counts by its part of them instead of its rank.
    With `indexed = True` an index of its arrays `keys` and `vectors` is made with a release (see `sources.vector_search`).
    With a method `says(slot) -> str` it has own words for an item, "" for the template's.
    """

    name: str
    quota: int
    time_based: bool
    reason: ClassVar[str]
    template: ClassVar[str]
    folds: tuple[Fold, ...]
    state: tuple[Stateful, ...]

    def fit(self, data: FitData) -> Arrays:
        """Learn from the past; `{}` for a source that does not learn or has too little to learn from."""
        ...

    def bind(self, world: World, arrays: Arrays) -> None:
        """Take the world it reads and the arrays that `fit` made (empty before the first release)."""
        ...

    def fetch(self, query: Query, user: UserState, limit: int) -> Retrieved:
        """Return up to `limit` items, best first. Must not raise for an unknown user: it returns nothing."""
        ...


@runtime_checkable
class Renewing(Protocol):
    """A source or rule with an index of its own over the world, rebuilt beside the requests."""

    def renew(self, now: int) -> None:
        """Bring the index up to date if it is not; called about once a second by one thread, while others fetch."""
        ...


class Ranker(Protocol):
    """Turns features into one probability per outcome."""

    name: str

    def fit(self, examples: Examples, seed: int) -> Arrays:
        """Learn; raises NearlineError when the examples can't teach (no positive, no negative)."""
        ...

    def load(self, arrays: Arrays) -> None:
        """Take what `fit` returned."""
        ...

    def score(self, columns: F32) -> F32:
        """Return `[n_outcomes, n] float32` for `[n_features, n] float32`."""
        ...


@runtime_checkable
class Filter(Protocol):
    """A rule that drops candidates before ranking."""

    name: str

    def bind(self, world: World) -> None:
        """Take the world it reads."""
        ...

    def keep(self, query: Query, user: UserState, candidates: Candidates) -> NDArray[np.bool_]:
        """Return which candidates stay, `[n] bool`."""
        ...


@runtime_checkable
class Occasional(Protocol):
    """A source or rule that has nothing to do for most requests, and then is not asked."""

    def wanted(self, query: Query, user: UserState) -> bool:
        """Return whether it has anything to do for a request; takes a microsecond."""
        ...


@runtime_checkable
class Slacking(Protocol):
    """A filter that can say beforehand how much it may drop."""

    def slack(self, user: UserState) -> int:
        """Return how many candidates it may drop for this visitor."""
        ...


@runtime_checkable
class Adjustment(Protocol):
    """A rule that changes scores before the list is ordered: a boost, a penalty. It sees every candidate."""

    name: str

    def bind(self, world: World) -> None:
        """Take the world it reads."""
        ...

    def adjust(self, query: Query, user: UserState, candidates: Candidates, scores: F32) -> F32:
        """Return the new scores, `[n] float32`; `scores` itself must not be changed."""
        ...


class Arrangement(Protocol):
    """A rule that reorders or trims the ranked list."""

    name: str

    def bind(self, world: World) -> None:
        """Take the world it reads."""
        ...

    def arrange(self, query: Query, user: UserState, ranked: Ranked, size: int) -> I32 | Arranged:
        """Return places into `ranked`, in the new order, at least `size` of them where there are so many.

        `Arranged` says more of them: a label, what is held in its place, with which probability it stands there.
        """
        ...


@runtime_checkable
class Reserving(Protocol):
    """An arrangement that may need candidates which their scores, or the rules before it, took off the list."""

    def reserve(self, query: Query, user: UserState, items: I32) -> I32:
        """Return places into all candidates, best first (slots, `[n] int32`), of those to put at the end of its list."""
        ...
