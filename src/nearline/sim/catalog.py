"""The shop's items, as clients send them and as arrays with the truth that only the simulator knows."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from nearline.schema.clock import DAY
from nearline.schema.errors import NearlineError
from nearline.sim.config import STILL, ShopConfig
from nearline.sim.taxonomy import DEPARTMENT_OF, DEPARTMENTS, LEAVES
from nearline.sim.texts import STYLES, describe

BRANDS: tuple[str, ...] = tuple(brand for department in DEPARTMENTS for brand in department.brands)
_BRANDS_PER_LEAF = 5
_MOODS = ("gift", "eco", "limited", "classic", "compact", "handmade")


class SimItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """An item in the client's form; `created_at` in ms UTC."""

    item_id: str
    title: str
    category: str
    brand: str
    price: float
    tags: tuple[str, ...]
    created_at: int
    image_url: str = ""
    attributes: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Catalog:
    """Items and, row by row, what is true of them. Rows are ordered by leaf.

    Args:
        items: in the client's form.
        leaf: `[n_items] int64`, row in `LEAVES`.
        brand: `[n_items] int64`, row in `BRANDS`.
        price_z: `[n_items] float32`, log price in standard deviations from its leaf's median.
        quality: `[n_items] float32`, hidden, standard normal.
        style: `[n_items] int64`, row in `STYLES`, hidden but for the description's words.
        created_at: `[n_items] int64`, ms UTC.
        exposure: `[n_items + 1] float64`, cumulated organic exposure: what shelves and search show.
        leaf_start: `[n_leaves + 1] int64`, where each leaf's rows begin.
        rows: row by item id.
    """

    items: tuple[SimItem, ...]
    leaf: NDArray[np.int64]
    brand: NDArray[np.int64]
    price_z: NDArray[np.float32]
    quality: NDArray[np.float32]
    style: NDArray[np.int64]
    created_at: NDArray[np.int64]
    exposure: NDArray[np.float64]
    leaf_start: NDArray[np.int64]
    rows: dict[str, int]

    def shelf(self, rng: np.random.Generator, leaves: NDArray[np.int64], k: int) -> NDArray[np.int64]:
        """Draw what an organic page shows, popular items first.

        Args:
            rng: where the draws come from.
            leaves: `[n] int64`, a page's leaf, or -1 for the whole shop.
            k: places per page.

        Returns:
            `[n, k] int64` item rows, with repeats; the caller masks those.
        """
        whole = leaves < 0
        first = self.exposure[np.where(whole, 0, self.leaf_start[leaves])]
        last = self.exposure[np.where(whole, len(self.items), self.leaf_start[leaves + 1])]
        point = first[:, None] + rng.random((len(leaves), k)) * (last - first)[:, None]
        found: NDArray[np.int64] = np.searchsorted(self.exposure, point, side="right") - 1
        return np.clip(found, 0, len(self.items) - 1)


def make_catalog(seed: int, n_items: int, end_ms: int, arrival_days: int = 30, config: ShopConfig = STILL) -> Catalog:
    """Make a catalogue: 70 % was there before, 30 % arrives over the last `arrival_days` before `end_ms`.

    The configuration may add items that arrive after `end_ms`; they are among the rows of their leaves.

    Args:
        seed: same seed, same bytes.
        n_items: that exist at `end_ms`, at least one per leaf.
        end_ms: ms UTC, the present.
        arrival_days: days of arrivals.
        config: whether there are texts, and how many items arrive later.

    Raises:
        NearlineError: fewer items than leaves.
    """
    if n_items < len(LEAVES):
        raise NearlineError("items", n_items, f"ask for {len(LEAVES)} or more: every leaf category needs an item")
    later = round(n_items * config.new_items * config.horizon_days)
    n_items += later
    rng = np.random.default_rng([seed, 1])
    hidden = np.random.default_rng([seed, 6])
    share = rng.dirichlet(np.full(len(LEAVES), 8.0))
    extra = rng.choice(len(LEAVES), n_items - len(LEAVES), p=share)
    leaf = np.sort(np.concatenate([np.arange(len(LEAVES)), extra]))
    carried = np.array([_carried(rng, row) for row in range(len(LEAVES))])
    brand = carried[leaf, rng.integers(_BRANDS_PER_LEAF, size=n_items)]
    price_z = rng.standard_normal(n_items).astype(np.float32)
    quality = rng.standard_normal(n_items).astype(np.float32)
    arrives = rng.random(n_items) < 0.3
    age = np.where(arrives, rng.random(n_items) * arrival_days, arrival_days + rng.random(n_items) * 365)
    created_at = end_ms - (age * DAY).astype(np.int64)
    exposure = np.exp(0.6 * quality + 0.8 * rng.standard_normal(n_items))
    leaf_start = np.searchsorted(leaf, np.arange(len(LEAVES) + 1))
    style = hidden.integers(len(STYLES), size=n_items)
    if later:
        others = np.setdiff1d(np.arange(n_items), leaf_start[:-1])  # each leaf keeps one from the beginning
        arriving = hidden.choice(others, later, replace=False)
        created_at[arriving] = end_ms + 1 + (hidden.random(later) * config.horizon_days * DAY).astype(np.int64)
    items = _describe(rng, leaf, brand, price_z, created_at)
    if config.texts:
        items = _with_texts(hidden, items, leaf, style, price_z)
    return Catalog(
        items, leaf, brand, price_z, quality, style, created_at,
        exposure=np.concatenate([[0.0], np.cumsum(exposure)]),
        leaf_start=leaf_start,
        rows={item.item_id: row for row, item in enumerate(items)},
    )  # fmt: skip


def _carried(rng: np.random.Generator, leaf: int) -> NDArray[np.int64]:
    """Return the rows of the brands that a leaf carries."""
    per_department = len(DEPARTMENTS[0].brands)
    return DEPARTMENT_OF[leaf] * per_department + rng.permutation(per_department)[:_BRANDS_PER_LEAF]


def _describe(
    rng: np.random.Generator,
    leaf: NDArray[np.int64],
    brand: NDArray[np.int64],
    price_z: NDArray[np.float32],
    created_at: NDArray[np.int64],
) -> tuple[SimItem, ...]:
    """Give every row an id, a title that is unique in its leaf, tags and a price."""
    made: list[SimItem] = []
    ids = rng.permutation(len(leaf))  # so that an id says nothing about the category
    moods = rng.integers(len(_MOODS), size=len(leaf))
    for row, kind in enumerate(LEAVES):
        words = DEPARTMENTS[DEPARTMENT_OF[row]]
        shape = (len(words.first), len(words.second), len(kind.nouns))
        titles = rng.permutation(int(np.prod(shape)))
        for n, i in enumerate(np.flatnonzero(leaf == row)):
            edition, place = divmod(n, len(titles))
            a, b, c = np.unravel_index(titles[place], shape)
            first, second, noun = words.first[a], words.second[b], kind.nouns[c]
            tier = "premium" if price_z[i] > 1 else "budget" if price_z[i] < -1 else "everyday"
            made.append(
                SimItem(
                    item_id=f"i{ids[i]:05d}",
                    title=f"{first} {second} {noun}" + (f" {edition + 1}" if edition else ""),
                    category=kind.path,
                    brand=BRANDS[brand[i]],
                    price=round(float(kind.price * np.exp(kind.spread * price_z[i])), 2),
                    tags=(first.lower(), second.lower(), tier, _MOODS[moods[i]]),
                    created_at=int(created_at[i]),
                )
            )
    return tuple(made)


def _with_texts(
    rng: np.random.Generator,
    items: tuple[SimItem, ...],
    leaf: NDArray[np.int64],
    style: NDArray[np.int64],
    price_z: NDArray[np.float32],
) -> tuple[SimItem, ...]:
    """Return the items with their descriptions, as the attribute `description`."""
    made = []
    for row, item in enumerate(items):
        nouns = LEAVES[leaf[row]].nouns
        noun = next((noun for noun in reversed(nouns) if noun in item.title), nouns[0])
        text = describe(rng, int(style[row]), int(leaf[row]), noun, item.brand, float(price_z[row]))
        made.append(msgspec.structs.replace(item, attributes={"description": text}))
    return tuple(made)
