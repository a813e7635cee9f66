"""What the catalogue says of items as tokens: category path, brand and tags, then the words of title and texts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nearline.schema.components import World
from nearline.schema.item_tokens import ItemTokens
from nearline.schema.words import words_of

WORDS = 12
"""Words of an item at most, the first ones."""


def item_tokens(world: World, slots: NDArray[np.int64]) -> ItemTokens:
    """Return the tokens of some items.

    Args:
        slots: known ones, `[n] int64`.
    """
    tokens, offsets = world.item_tokens()
    texts = world.item_texts()
    held = [(*tokens[offsets[slot] : offsets[slot + 1]].tolist(), *words_of(texts[slot], WORDS)) for slot in slots.tolist()]
    lengths = np.fromiter((len(own) for own in held), np.int64, len(held))
    flat = np.fromiter((token for own in held for token in own), np.uint32, int(lengths.sum()))
    return ItemTokens(flat, np.concatenate(([0], np.cumsum(lengths))).astype(np.int64))
