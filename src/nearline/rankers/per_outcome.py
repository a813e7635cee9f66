"""Arrays of one model per outcome, kept together under names `<place>.<array>`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nearline.schema.components import Arrays
from nearline.schema.errors import NearlineError


def pack(models: Sequence[Arrays], rows: int) -> Arrays:
    """Return the arrays of all outcomes as one mapping; `{}` stands for an outcome that could not be learned.

    Args:
        models: one per outcome, in order.
        rows: how many examples there were, for the error.

    Raises:
        NearlineError: no outcome has both a positive and a negative example.
    """
    if not any(models):
        raise NearlineError("examples", rows, "none has both outcomes and passed-over items to learn from")
    named = {f"{place}.{name}": array for place, own in enumerate(models) for name, array in own.items()}
    return {"outcomes": np.array([len(models)]), **named}


def unpack(arrays: Arrays) -> list[Arrays]:
    """Return what `pack` was given."""
    return [
        {name.removeprefix(f"{place}."): array for name, array in arrays.items() if name.startswith(f"{place}.")}
        for place in range(int(arrays["outcomes"][0]))
    ]
