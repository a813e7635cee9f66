"""A user tower of your own, as an ONNX model, with the item vectors that belong to it."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nearline.models.session import OnnxSession, model_file
from nearline.models.tower_graph import INPUTS, OUTPUTS
from nearline.schema.components import Arrays, FitData
from nearline.schema.errors import NearlineError
from nearline.schema.ids import keys
from nearline.sources.sequence import SequenceSource


class OnnxSource(SequenceSource):
    """Items nearest to what a tower of your own says of the visitor; trained elsewhere, with whatever you like.

    The model gets the last events, oldest first, n of them: `items [n, d] float32`, their items' vectors, and, where it has
    inputs of these names, `roles [n] int32` (`schema.event.Role`) and `gaps [n] int32` (class of the time until the next event
    or now: under 30 minutes, 6 hours, 2 days, 14 days, longer). Its output is `user [d] float32`; an item's score is its
    product with the item's vector. `nearline train` reads both files into the release. Needs the extra `deep`.

    Args:
        model: the file of the model.
        vectors: a file of NumPy (`np.savez`) with `item_ids [n]` (text) and `vectors [n, d] float32`.
        events: how many of the last events it gets, at most 50.
        quota: candidates at most.
    """

    name = "onnx"
    default = False
    deep = False
    reason: ClassVar[str] = "similar_taste"

    def __init__(self, model: str = "", vectors: str = "", events: int = 50, quota: int = 200) -> None:
        super().__init__(quota)
        self.model, self.vectors, self.events = model, vectors, events

    def fit(self, data: FitData) -> Arrays:
        """Return the files as arrays of a release; `{}` where none is named.

        Raises:
            NearlineError: a file can't be read, or the two don't fit each other.
        """
        if not self.model:
            return {}
        tower, (ids, vectors) = model_file(self.model, "OnnxSource.model"), _vectors(self.vectors)
        session = OnnxSession(tower, self.model, outputs=OUTPUTS)
        if "items" not in session.inputs or set(session.inputs) - set(INPUTS):
            remedy = f"export it with the input items and, where it needs them, {' and '.join(INPUTS[1:])}"
            raise NearlineError(f"{self.model}: inputs", ", ".join(session.inputs), remedy)
        one = {"items": vectors[:1], "roles": np.full(1, 3, np.int32), "gaps": np.zeros(1, np.int32)}
        (user,) = session.run(**{name: one[name] for name in session.inputs})
        if user.size != vectors.shape[1]:
            raise NearlineError(f"{self.model}: user", user.shape, f"make it {vectors.shape[1]} long, as the vectors are")
        d = vectors.shape[1]
        shape = np.array([d, 0, 0, min(self.events, self._history.n), 0], np.int32)
        found, table = keys(ids.tolist()), np.zeros((2, d), np.float32)
        return {
            "keys": found,
            "vectors": vectors,
            "table": table,
            "tower": tower,
            "shape": shape,
            "timed": np.array([not data.order_only]),
        }


def _vectors(path: str) -> tuple[NDArray[np.str_], NDArray[np.float32]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            ids, vectors = file["item_ids"], file["vectors"]
    except (OSError, KeyError, ValueError) as error:
        raise NearlineError(
            "OnnxSource.vectors", path, f"give a file of np.savez with item_ids and vectors: {error}"
        ) from error
    if vectors.ndim != 2 or len(ids) != len(vectors) or not len(ids) or not np.isfinite(vectors).all():
        raise NearlineError("OnnxSource.vectors", vectors.shape, f"give one finite vector for each of the {len(ids)} item_ids")
    return ids.astype(np.str_), np.ascontiguousarray(vectors, np.float32)
