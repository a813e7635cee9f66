"""The shop's users: lasting tastes, and the true utility of an item for one of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nearline.schema.clock import DAY
from nearline.sim.catalog import BRANDS, Catalog
from nearline.sim.config import STILL, ShopConfig
from nearline.sim.taxonomy import DEPARTMENT_OF, LEAVES
from nearline.sim.texts import STYLES

DEVICES = ("mobile", "desktop", "tablet", "app")
NO_INTENT = -1

_DEPARTMENT_OF = np.array(DEPARTMENT_OF)
_BASE, _TASTE, _BRAND, _PRICE, _QUALITY = -5.4, 1.0, 0.5, 0.35, 0.6
_INTENT, _INTENT_NEAR = 1.8, 0.5
_PRICE_CAP = 2.5
_SPREAD = 0.08


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
        interest: `[n_users, n_leaves] float64`, gamma-distributed; `taste` is its shares.
        spread: `[n_leaves] float64`, the shape of that distribution.
        style: `[n_users, n_styles] float32`, standard normal liking of hidden styles.
        thrift: `[n_users] float32`, how much a high price deters, 1 in the mean.
        joined: `[n_users] int64`, ms UTC, first possible visit; 0 for those who were there before.
        rows: row by user id.
    """

    ids: tuple[str, ...]
    taste: NDArray[np.float32]
    brand: NDArray[np.float32]
    price_level: NDArray[np.float32]
    rate: NDArray[np.float64]
    device: NDArray[np.int64]
    interest: NDArray[np.float64]
    spread: NDArray[np.float64]
    style: NDArray[np.float32]
    thrift: NDArray[np.float32]
    joined: NDArray[np.int64]
    rows: dict[str, int]

    def utility(
        self,
        catalog: Catalog,
        users: NDArray[np.int64],
        items: NDArray[np.int64],
        intents: NDArray[np.int64],
        taste: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Return the true utility, in logits: base + taste + brand - price misfit + quality + intent.

        The taste's part is `log(1 + n_leaves * share)`. An intent helps its leaf most, its department some.

        Args:
            catalog: the items.
            users: `[n] int64` rows of users.
            items: `[n, k] int64` rows of items.
            intents: `[n] int64` leaf the session is after, or `NO_INTENT`.
            taste: everybody's at the time, `[n_users, n_leaves] float32`; those of the present when not given.

        Returns:
            `[n, k] float32`.
        """
        who, wish, leaf = users[:, None], intents[:, None], catalog.leaf[items]
        taste = np.log1p(len(LEAVES) * (self.taste if taste is None else taste)[who, leaf])
        misfit = np.minimum((catalog.price_z[items] - self.price_level[who]) ** 2, _PRICE_CAP)
        near = (wish >= 0) & (_DEPARTMENT_OF[leaf] == _DEPARTMENT_OF[wish])
        intent = np.where(leaf == wish, _INTENT, np.where(near, _INTENT_NEAR, 0.0))
        lasting = _TASTE * taste + _BRAND * self.brand[who, catalog.brand[items]] - _PRICE * misfit
        return np.asarray(_BASE + lasting + _QUALITY * catalog.quality[items] + intent, dtype=np.float32)


def make_people(seed: int, n_users: int, end_ms: int = 0, config: ShopConfig = STILL) -> People:
    """Make users; same seed, same bytes.

    Args:
        seed: of all draws.
        n_users: that are there at `end_ms`.
        end_ms: ms UTC, the present.
        config: how many come later.
    """
    later = round(n_users * config.new_users * config.horizon_days)
    n_users += later
    hidden = np.random.default_rng([seed, 7])
    joined = np.zeros(n_users, dtype=np.int64)
    joined[n_users - later :] = np.sort(end_ms + (hidden.random(later) * config.horizon_days * DAY).astype(np.int64))
    rng = np.random.default_rng([seed, 2])
    fame = rng.dirichlet(np.full(len(LEAVES), 4.0)) * len(LEAVES)
    taste = rng.standard_gamma(_SPREAD * fame, (n_users, len(LEAVES))) + 1e-9
    loves = rng.random((n_users, len(BRANDS))) < 0.25
    ids = tuple(f"u{row:05d}" for row in range(n_users))
    return People(
        ids=ids,
        taste=(taste / taste.sum(axis=1, keepdims=True)).astype(np.float32),
        brand=(loves * rng.standard_normal(loves.shape)).astype(np.float32),
        price_level=(0.8 * rng.standard_normal(n_users)).astype(np.float32),
        rate=np.minimum(0.32 * np.exp(rng.standard_normal(n_users)), 6.0),
        device=rng.choice(len(DEVICES), n_users, p=[0.5, 0.3, 0.05, 0.15]),
        interest=taste,
        spread=_SPREAD * fame,
        style=hidden.standard_normal((n_users, len(STYLES))).astype(np.float32),
        thrift=np.exp(0.6 * hidden.standard_normal(n_users) - 0.18).astype(np.float32),
        joined=joined,
        rows={user_id: row for row, user_id in enumerate(ids)},
    )
