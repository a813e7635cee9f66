"""The light ranker that ships with every release: logistic regression, one per outcome."""

from __future__ import annotations

import numpy as np

from nearline.rankers.linear import LogisticModel, TrainingRows, fit_logistic
from nearline.rankers.per_outcome import pack, unpack
from nearline.schema.candidates import F32
from nearline.schema.components import Arrays, Examples


class LogisticRanker:
    """Logistic regression per outcome over standardised columns; the fallback when the ranker is late or fails."""

    name = "logistic"
    default = False

    def __init__(self) -> None:
        self._models: list[LogisticModel | None] = []

    def fit(self, examples: Examples, seed: int) -> Arrays:
        """Return each outcome's weights as arrays named `<place>.<array>`.

        Raises:
            NearlineError: no outcome has both a positive and a negative example.
        """
        models: list[Arrays] = [{} for _ in range(examples.y.shape[1])]
        for place in range(examples.y.shape[1]):
            y = np.ascontiguousarray(examples.y[:, place])
            if 0 < y.sum() < len(y):
                model = fit_logistic(TrainingRows(examples.x, y, examples.weight, examples.group))
                models[place] = dict(model.arrays())
        return pack(models, len(examples.x))

    def load(self, arrays: Arrays) -> None:
        """Take what `fit` returned."""
        self._models = [LogisticModel.from_arrays(own) if own else None for own in unpack(arrays)]

    def score(self, columns: F32) -> F32:
        """Return probabilities, `[n_outcomes, n] float32`."""
        rows = [np.zeros(columns.shape[1], np.float32) if model is None else model.predict(columns) for model in self._models]
        return np.asarray(rows, np.float32).reshape(len(self._models), columns.shape[1])
