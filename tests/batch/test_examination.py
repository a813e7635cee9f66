"""Position bias: how likely places are looked at comes out of clicks, and true tastes with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from nearline.batch.examination import examined
from nearline.rankers.logistic import LogisticRanker
from nearline.schema.components import Examples, Places
from nearline.schema.query import SURFACE_CODES

PLACES, TASTE = 10, np.array([1.2, -0.8, 0.0, 0.5])
LOOKED = {"homepage": np.arange(1, PLACES + 1) ** -0.7, "cart": np.arange(1, PLACES + 1) ** -0.2}


def shown(lists: int, seed: int, reported: bool = False) -> Examples:
    """Lists in an order that the third feature, which nobody minds, decides; each is looked at down to some depth."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(lists, PLACES, 4))
    x = np.take_along_axis(x, np.argsort(-x[:, :, 2:3], axis=1), axis=1)
    cart = random.random(lists) < 0.3
    chance = np.where(cart[:, None], LOOKED["cart"], LOOKED["homepage"])
    looked_at = random.random((lists, 1)) < chance
    touched = looked_at & (random.random((lists, PLACES)) < expit(x @ TASTE - 2))
    kept = (looked_at if reported else np.ones_like(looked_at)).ravel()
    n = lists * PLACES
    surface = np.where(cart, SURFACE_CODES["cart"], SURFACE_CODES["homepage"]).astype(np.uint8)
    places = Places(
        np.tile(np.arange(1, PLACES + 1, dtype=np.int32), lists)[kept],
        np.repeat(surface, PLACES)[kept],
        np.ones(n, np.float32)[kept],
        np.full(n, not reported)[kept],
    )
    group = np.repeat(np.arange(lists, dtype=np.int32), PLACES)[kept]
    y = touched.reshape(n, 1).astype(np.float32)[kept]
    weight = np.ones(n, np.float32)[kept]
    return Examples(x.reshape(n, 4).astype(np.float32)[kept], y, weight, group, list("abcd"), ["click"], places)


def tastes(examples: Examples) -> np.ndarray:
    return LogisticRanker().fit(examples, 0)["0.weights"]


def test_chances_and_tastes_come_out_of_clicks() -> None:
    examples = shown(8_000, 1)
    weighed, chances = examined(examples)
    assert set(chances) == {"homepage", "cart"}
    for surface, found in chances.items():
        np.testing.assert_allclose(found, LOOKED[surface], atol=0.08)
    touched = examples.y[:, 0] > 0
    assert (weighed.weight[touched] == 1).all()
    assert ((weighed.weight >= 0) & (weighed.weight <= 1)).all()
    # What stands above a touch was looked at.
    deepest = np.zeros(8_000, np.int32)
    assert examples.places is not None
    np.maximum.at(deepest, examples.group, np.where(touched, examples.places.rank, 0))
    above = examples.places.rank <= deepest[examples.group]
    assert weighed.weight[above] == pytest.approx(1, abs=1e-5)
    # The naive ranker takes the order for a taste; the other does not, and knows how much is wanted.
    truth = tastes(shown(8_000, 2, reported=True))
    naive, fair = tastes(examples), tastes(weighed)
    assert abs(naive[2] - truth[2]) > 0.3
    np.testing.assert_allclose(fair, truth, atol=0.12)
    rate = expit(np.random.default_rng(0).normal(size=(9_999, 4)) @ TASTE - 2).mean()
    assert float(np.average(weighed.y[:, 0], weights=weighed.weight)) == pytest.approx(rate, rel=0.1)


def test_what_is_known_or_too_little_stays_as_it_is() -> None:
    for examples in (shown(3_000, 3, reported=True), shown(60, 4), replace(shown(300, 5), places=None)):
        same, chances = examined(examples)
        assert same is examples
        assert chances == {}
