"""What the catalogue says of items, as numbers that models learn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ItemTokens:
    """Attributes and words of items, one token after the other.

    Attributes:
        tokens: hashes of attribute values and words, `[m] uint32`.
        offsets: where each item's begin, and the end, `[n_items + 1] int64`.
    """

    tokens: NDArray[np.uint32]
    offsets: NDArray[np.int64]

    def of(self, places: NDArray[np.int64]) -> ItemTokens:
        """Return the tokens of some items, in the order of their places."""
        starts, lengths = self.offsets[places], np.diff(self.offsets)[places]
        ends = np.cumsum(lengths)
        held = np.arange(int(lengths.sum())) - np.repeat(ends - lengths, lengths) + np.repeat(starts, lengths)
        return ItemTokens(self.tokens[held], np.concatenate(([0], ends)).astype(np.int64))
