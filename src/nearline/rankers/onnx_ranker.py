"""A ranker of one's own, as an ONNX file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nearline.models.session import OnnxSession, model_file
from nearline.rankers.network import NetworkRanker
from nearline.rankers.networks import COLUMNS, SCORES
from nearline.schema.components import Arrays, Examples
from nearline.schema.errors import NearlineError


class OnnxRanker(NetworkRanker):
    """A model that was trained elsewhere, from a file: input `columns`, output `scores`.

    `columns` is `[n_features, n] float32`: the features in the order of `features` in a release's `manifest.json`, missing
    values NaN, any number of candidates. `scores` is `[n_outcomes, n] float32`: a probability for each outcome in the
    application's order. What scaling or filling the model needs is part of it. Each training takes the file as it then is into
    the release, where it is judged like any ranker before it serves.

    Args:
        path: of the file; read when the application is made, and at each training.

    Raises:
        NearlineError: the file can't be read, is no model, or has other inputs or outputs.
    """

    name = "onnx"

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self.path = Path(path)
        self._opened()

    def fit(self, examples: Examples, seed: int) -> Arrays:
        """Return the file's bytes, once it has scored a few of the examples.

        Raises:
            NearlineError: it knows other features or outcomes, or its scores are not probabilities.
        """
        session = self._opened()
        few = np.ascontiguousarray(examples.x[:100].T)
        few = np.concatenate([few, np.full((len(few), 1), np.nan, np.float32)], axis=1)
        (scores,) = session.run(columns=few)
        wanted = (examples.y.shape[1], few.shape[1])
        if scores.shape != wanted or scores.dtype != np.float32:
            remedy = f"return float32 {wanted} for {len(few)} features: {', '.join(examples.outcomes)}"
            raise NearlineError(f"{self.path}: scores", f"{scores.dtype} {scores.shape}", remedy)
        if not ((scores >= 0) & (scores <= 1)).all():
            bad = scores[~((scores >= 0) & (scores <= 1))][0]
            raise NearlineError(f"{self.path}: scores", float(bad), "return probabilities, for missing features (NaN) too")
        return {"model": model_file(self.path, "OnnxRanker.path")}

    def _opened(self) -> OnnxSession:
        return OnnxSession(model_file(self.path, "OnnxRanker.path"), str(self.path), (COLUMNS,), (SCORES,))
