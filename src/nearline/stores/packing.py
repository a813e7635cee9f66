"""What is kept of a visitor as packed rows: one a tier, as they lie in memory and in stores."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from nearline.features.presence import PRESENCE
from nearline.schema.components import Fold, Tier

TIERS: tuple[Tier, Tier] = ("hot", "history")


def packed(folds: Iterable[Fold], tier: Tier) -> np.dtype[np.void]:
    """Return the row of one tier: read, and found in memory, in one go. The hot one begins with the presence head."""
    own = [("presence", PRESENCE)] if tier == "hot" else []
    own += [(fold.name, fold.dtype) for fold in folds if fold.entity == "user" and fold.tier == tier]
    # Each begins on a whole word, wherever the one before it ended.
    sizes = [-(-dtype.itemsize // 8) * 8 for _, dtype in own]
    offsets = [sum(sizes[:place]) for place in range(len(sizes))]
    names, formats = [name for name, _ in own], [dtype for _, dtype in own]
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": sum(sizes)})
