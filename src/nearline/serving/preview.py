"""Previews: a list before and after a rule, side by side."""

from __future__ import annotations

import msgspec

from nearline.schema.item import Item
from nearline.schema.served import Served
from nearline.stores.catalog import Catalog


class PreviewPlace(msgspec.Struct, frozen=True, omit_defaults=True):
    """One place of the list with the rule.

    Attributes:
        before: its rank without the rule, null where it was not in the list.
        label: what must be said of it.
    """

    item_id: str
    title: str
    rank: int
    before: int | None
    category: str = ""
    label: str = ""


class RulePreview(msgspec.Struct, frozen=True):
    """A list without a rule and with it.

    Attributes:
        applies: whether the rule's `when` holds for this request; its dates are passed over.
        effects: what it did, as `nearline_rule_effects_total` counts.
        before, after: the list without it and with it, `before` of a place being the rank without it.
        gone: items that it takes out of the list.
    """

    applies: bool
    effects: int
    before: list[PreviewPlace]
    after: list[PreviewPlace]
    gone: list[str]


def compared(before: Served, after: Served, catalog: Catalog, applies: bool, effects: int) -> RulePreview:
    """Return two lists side by side."""
    ranks: dict[str, int | None] = {item.item_id: item.rank for item in before.items}

    def places(served: Served) -> list[PreviewPlace]:
        return [
            _place(item.item_id, catalog.items.get(item.item_id), item.rank, ranks.get(item.item_id), item.label)
            for item in served.items
        ]

    left = {item.item_id for item in after.items}
    return RulePreview(applies, effects, places(before), places(after), [item_id for item_id in ranks if item_id not in left])


def _place(item_id: str, item: Item | None, rank: int, before: int | None, label: str) -> PreviewPlace:
    if item is None:
        return PreviewPlace(item_id, "", rank, before, label=label)
    return PreviewPlace(item_id, item.title, rank, before, item.category, label)
