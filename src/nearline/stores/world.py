"""The world a bound component reads while serving: one tenant's state and catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import I32
from nearline.schema.components import ItemColumns, Rows, Stateful, UserState
from nearline.schema.conditions import ITEM_KINDS, Kind
from nearline.schema.declared import Declared
from nearline.schema.event import Events, Record
from nearline.schema.item import Item
from nearline.schema.kinds import ERASED
from nearline.schema.rules import Rule
from nearline.schema.vectors import Embedding, VectorIndex
from nearline.stores.attribute_index import AttributeIndex
from nearline.stores.catalog import Catalog, replay_catalog
from nearline.stores.rulebook import Rulebook
from nearline.stores.showings import MemoryShowings
from nearline.stores.state import MemoryState
from nearline.stores.vector_index import SCANNING, Indexes


class OnlineWorld:
    """State and catalogue behind the `World` protocol, and what was declared beside them.

    Args:
        kinds: attributes that conditions on items may name.
        rules: those of the application.
    """

    def __init__(
        self, state: MemoryState, catalog: Catalog, kinds: Mapping[str, Kind] = ITEM_KINDS, rules: Sequence[Rule] = ()
    ) -> None:
        self.state, self.catalog, self.declared = state, catalog, Declared()
        self.showings = MemoryShowings(len(state.offsets))
        self.attributes = AttributeIndex(catalog, kinds)
        self.rules = Rulebook(self.declared, self.attributes, catalog, rules)
        self.indexes = Indexes(SCANNING)
        """Where vectors are searched."""

    def apply(self, events: Events) -> None:
        """Fold events and make room for the items they brought; who is erased was shown nothing."""
        for event in events[events["kind"] == ERASED]:
            self.showings.forget(int(event["user"]), int(event["ts"]))
        self.state.apply(events)
        self.catalog.sync()

    def adopt(self, pages: Iterable[tuple[int, list[Record]]]) -> list[Item]:
        """Take catalogue and declarations over as pages of `item_events` leave them; return the items."""

        def declaring() -> Iterator[tuple[int, list[Record]]]:
            for first, records in pages:
                self.declared.follow(records)
                yield first, records

        items = replay_catalog(declaring())
        self.catalog.follow(items)
        return items

    def hydrate(self, visitor: int, now: int) -> UserState:
        """Return a visitor's rows at `now` (ms UTC)."""
        return self.state.hydrate(visitor, now)

    @property
    def offset(self) -> int:
        """Offset of `user_events` up to which events are folded."""
        return self.state.offset

    @property
    def columns(self) -> ItemColumns:
        """The catalogue by slot."""
        return self.catalog.columns

    @property
    def rows(self) -> Mapping[str, Rows]:
        """Fold rows by name, `[n_slots] dtype`."""
        return self.state.rows

    @property
    def parts(self) -> Mapping[str, Stateful]:
        """State of variable size by name."""
        return self.state.stateful

    @property
    def item_fields(self) -> AbstractSet[str]:
        """Which of the rarer fields some item has had."""
        return self.catalog.fields

    @property
    def region_sets(self) -> Sequence[AbstractSet[str]]:
        """The regions by number."""
        return self.catalog.region_sets

    @property
    def version(self) -> int:
        """Changes whenever state changes."""
        return self.state.version

    @property
    def n_items(self) -> int:
        """Number of item slots in use."""
        return len(self.state.items)

    @property
    def catalog_version(self) -> int:
        """Changes whenever an item changes."""
        return self.catalog.version

    @property
    def item_marks(self) -> NDArray[np.uint32]:
        """Numbers by item slot; an item's changes after its rows or its place in the catalogue did."""
        return self.state.marks

    def item_slots(self, keys: NDArray[np.uint64]) -> I32:
        """Return the slots of item keys, -1 where unknown, `[n] int32`."""
        return self.state.items.find(keys)

    def item_tokens(self) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Return attribute tokens of all slots as (tokens, offsets)."""
        return self.catalog.tokens()

    def item_texts(self) -> list[str]:
        """Return the title and the texts of all slots, "" where there is none."""
        return self.catalog.texts()

    def item_labels(self) -> list[str]:
        """Return category, brand and tags of all slots as text, "" where there is none."""
        return self.catalog.labels()

    def index_of(self, embedding: Embedding) -> VectorIndex:
        """Return the index that an embedding is in, or is to be put into."""
        return self.indexes.of(embedding)

    def release(self) -> None:
        """Let go of stores."""
        self.indexes.close()
