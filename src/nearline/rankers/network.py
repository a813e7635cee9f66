"""A plain network, 128-64-32, as ranker."""

from __future__ import annotations

from nearline.models.session import OnnxSession
from nearline.rankers.networks import COLUMNS, SCORES, Learning, Shape, fit_network
from nearline.schema.candidates import F32
from nearline.schema.components import Arrays, Examples
from nearline.schema.errors import NearlineError


class NetworkRanker:
    """Dense layers that all outcomes share; trained by JAX, served by ONNX Runtime (extra `deep`).

    Args:
        shape: layers; those of `Shape` when not given.
        learning: how it is trained.
    """

    name = "network"
    default = False

    def __init__(self, shape: Shape | None = None, learning: Learning | None = None) -> None:
        self.shape, self.learning = shape or Shape(), learning or Learning()
        self._session: OnnxSession | None = None

    def fit(self, examples: Examples, seed: int) -> Arrays:
        """Return the model as `{"model": [n_bytes] uint8}`.

        Raises:
            NearlineError: no outcome can be learned, or the extra `deep` is not installed.
        """
        return {"model": fit_network(examples, self.shape, self.learning, seed)}

    def load(self, arrays: Arrays) -> None:
        """Take what `fit` returned."""
        self._session = OnnxSession(arrays["model"], f"ranker {self.name}", (COLUMNS,), (SCORES,))

    def score(self, columns: F32) -> F32:
        """Return probabilities, `[n_outcomes, n] float32`."""
        if self._session is None:
            raise NearlineError(self.name, None, "load a model first")
        (scores,) = self._session.run(columns=columns)
        return scores
