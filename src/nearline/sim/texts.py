"""Descriptions of items: words of the hidden style, then of what the item is."""

from __future__ import annotations

import numpy as np

from nearline.sim.taxonomy import LEAVES

STYLES: tuple[tuple[str, ...], ...] = tuple(
    tuple(line.split())
    for line in (
        "minimal plain uncluttered slim quiet understated",
        "vintage retro nostalgic heritage worn timeless",
        "rugged tough hardwearing weatherproof sturdy robust",
        "playful colourful cheerful whimsical fun bouncy",
        "luxurious opulent refined polished exquisite gilded",
        "natural organic earthy raw undyed sustainable",
        "futuristic sleek smart luminous chrome cybernetic",
        "cosy soft warm snug comforting fluffy",
    )
)
"""For each style, the words that give it away."""

TIERS = ("a steal", "sensibly priced", "an investment")
_FORMS = (
    "{a} and {b} {noun} by {brand}. {c} by nature, {tier}; for those who look for {group} in {department}.",
    "By {brand}: a {noun} that is {a}, {b} and {c}. In {group}, {department}; {tier}.",
    "{tier}: this {a} {noun} from {brand} brings something {b} to {group}. {c}, as {department} should be.",
)


def describe(rng: np.random.Generator, style: int, leaf: int, noun: str, brand: str, price_z: float) -> str:
    """Return a short description.

    Args:
        rng: where the draws come from; three of the style's words are taken.
        style: row in `STYLES`.
        leaf: row in `LEAVES`.
        noun: what the title calls it.
        brand: its name.
        price_z: log price in standard deviations from the leaf's median.
    """
    a, b, c = (STYLES[style][word] for word in rng.permutation(len(STYLES[style]))[:3])
    department, group, _ = LEAVES[leaf].path.split(" > ")
    tier = TIERS[0 if price_z < -1 else 2 if price_z > 1 else 1]
    text = _FORMS[rng.integers(len(_FORMS))].format(
        a=a, b=b, c=c, noun=noun, brand=brand, tier=tier, group=group.lower(), department=department.lower()
    )
    return text[0].upper() + text[1:]
