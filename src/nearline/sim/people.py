"""The shop's users: lasting tastes, and the true utility of an item for one of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nearline.sim.catalog import BRANDS, Catalog
from nearline.sim.taxonomy import DEPARTMENT_OF, LEAVES

DEVICES = ("mobile", "desktop", "tablet", "app")
NO_INTENT = -1

_DEPARTMENT_OF = np.array(DEPARTMENT_OF)
_BASE, _TASTE, _BRAND, _PRICE, _QUALITY = -5.4, 1.0, 0.5, 0.35, 0.6
_INTENT, _INTENT_NEAR = 1.8, 0.5
_PRICE_CAP = 2.5


@dataclass(frozen=True, slots=True)
class People:
    """Users as arrays.

    Args:
        ids: user ids.
        taste: `[n_users, n_leaves] float32`, sparse, rows sum to one.
        brand: `[n_users, n_brands] float32`, affinities, most of them zero.
        price_level: `[n_users] float32`, the `price_z` they like best.
        rate: `[n_users] float64`, sessions a day, heavy-tailed.
        device: `[n_users] int64`, row in `DEVICES`.
        rows: row by user id.
    """

    ids: tuple[str, ...]
    taste: NDArray[np.float32]
    brand: NDArray[np.float32]
    price_level: NDArray[np.float32]
    rate: NDArray[np.float64]
    device: NDArray[np.int64]
    rows: dict[str, int]

    def utility(
        self,
        catalog: Catalog,
        users: NDArray[np.int64],
        items: NDArray[np.int64],
        intents: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """Return the true utility, in logits: base + taste + brand - price misfit + quality + intent.

        The taste's part is `log(1 + n_leaves * share)`. An intent helps its leaf most, its department some.

        Args:
            catalog: the items.
            users: `[n] int64` rows of users.
            items: `[n, k] int64` rows of items.
            intents: `[n] int64` leaf the session is after, or `NO_INTENT`.

        Returns:
            `[n, k] float32`.
        """
        who, wish, leaf = users[:, None], intents[:, None], catalog.leaf[items]
        taste = np.log1p(len(LEAVES) * self.taste[who, leaf])
        misfit = np.minimum((catalog.price_z[items] - self.price_level[who]) ** 2, _PRICE_CAP)
        near = (wish >= 0) & (_DEPARTMENT_OF[leaf] == _DEPARTMENT_OF[wish])
        intent = np.where(leaf == wish, _INTENT, np.where(near, _INTENT_NEAR, 0.0))
        lasting = _TASTE * taste + _BRAND * self.brand[who, catalog.brand[items]] - _PRICE * misfit
        return np.asarray(_BASE + lasting + _QUALITY * catalog.quality[items] + intent, dtype=np.float32)


def make_people(seed: int, n_users: int) -> People:
    """Make users; same seed, same bytes."""
    rng = np.random.default_rng([seed, 2])
    fame = rng.dirichlet(np.full(len(LEAVES), 4.0)) * len(LEAVES)
    taste = rng.standard_gamma(0.08 * fame, (n_users, len(LEAVES))) + 1e-9
    loves = rng.random((n_users, len(BRANDS))) < 0.25
    ids = tuple(f"u{row:05d}" for row in range(n_users))
    return People(
        ids=ids,
        taste=(taste / taste.sum(axis=1, keepdims=True)).astype(np.float32),
        brand=(loves * rng.standard_normal(loves.shape)).astype(np.float32),
        price_level=(0.8 * rng.standard_normal(n_users)).astype(np.float32),
        rate=np.minimum(0.32 * np.exp(rng.standard_normal(n_users)), 6.0),
        device=rng.choice(len(DEVICES), n_users, p=[0.5, 0.3, 0.05, 0.15]),
        rows={user_id: row for row, user_id in enumerate(ids)},
    )
