"""Editorial: the items of the lists that people keep, as long as they are in force."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32, NOTHING, Retrieved
from nearline.schema.components import Arrays, FitData, Fold, Stateful, UserState, World
from nearline.schema.ids import keys
from nearline.schema.lists import KIND, ItemList, decode_list
from nearline.schema.query import Query
from nearline.sources.tally import first


@dataclass(frozen=True, slots=True)
class _Known:
    """The lists as one version of the declarations has them.

    Attributes:
        slots: by name, of the items that are available, in the list's order, at one version of the catalogue.
        united: by names of the lists in force, their items in turn.
    """

    declared: int
    catalog: int
    lists: dict[str, ItemList]
    keys: dict[str, NDArray[np.uint64]]
    slots: dict[str, I32]
    united: dict[tuple[str, ...], Retrieved]


class EditorialSource:
    """The items of the editorial lists in force on the surface: the first of each list, then the second of each, and so on.

    Args:
        quota: candidates at most.
    """

    name = "editorial"
    family = "editorial"
    reason: ClassVar[str] = "editorial"
    template: ClassVar[str] = "Editors' choice"
    time_based = False

    def __init__(self, quota: int = 100) -> None:
        self.quota = quota
        self.state: tuple[Stateful, ...] = ()
        self.folds: tuple[Fold, ...] = ()

    def fit(self, data: FitData) -> Arrays:
        """Nothing is learned in batch."""
        return {}

    def bind(self, world: World, arrays: Arrays) -> None:
        """Read this world's declarations."""
        self._world = world
        self._kept = _Known(-1, -1, {}, {}, {}, {})

    def fetch(self, query: Query, user: UserState, limit: int) -> Retrieved:
        """Return the items of the lists in force."""
        known = self._known()
        names = tuple(name for name, each in known.lists.items() if each.in_force(query.now, query.surface))
        if not names:
            return NOTHING
        found = known.united.get(names)
        if found is None:
            found = known.united[names] = _in_turn([known.slots[name] for name in names])
        return first(found, min(limit, len(found.items)))

    def shown(self, query: Query) -> dict[str, tuple[str, I32]]:
        """Return the lists in force by name: title and items (slots), in order."""
        known = self._known()
        return {
            name: (each.title, known.slots[name])
            for name, each in known.lists.items()
            if each.in_force(query.now, query.surface)
        }

    def says(self, item: int) -> str:
        """Return the title of the first list that holds an item (a slot); "" for none."""
        known = self._known()
        return next((each.title for name, each in known.lists.items() if each.title and item in known.slots[name]), "")

    def _known(self) -> _Known:
        kept, world = self._kept, self._world
        # Versions are read before what they are of, so that a change meanwhile is found the next time.
        declared, catalog = world.declared.version, world.catalog_version
        if kept.declared == declared and (kept.catalog == catalog or not kept.lists):
            return kept
        if kept.declared != declared:
            lists = {name: decode_list(body) for name, body in world.declared.of(KIND).items()}
            found = {name: keys(dict.fromkeys(each.item_ids)) for name, each in lists.items()}
        else:
            lists, found = kept.lists, kept.keys
        self._kept = _Known(declared, catalog, lists, found, {name: self._available(each) for name, each in found.items()}, {})
        return self._kept

    def _available(self, wanted: NDArray[np.uint64]) -> I32:
        slots = self._world.item_slots(wanted)
        slots = slots[slots >= 0]
        return slots[self._world.columns.available[slots]]


def _in_turn(lists: list[I32]) -> Retrieved:
    """Unite lists by place; an item counts where it stands highest."""
    items = np.concatenate(lists)
    places = np.concatenate([np.arange(len(each)) for each in lists])
    order = np.argsort(places, kind="stable")
    items, places = items[order], places[order]
    _, firsts = np.unique(items, return_index=True)
    firsts.sort()
    scores: F32 = (1.0 / (1.0 + places[firsts])).astype(np.float32)
    return Retrieved(items[firsts], scores, np.full(len(firsts), -1, np.int32))
