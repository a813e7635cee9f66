"""The light ranker that ships with every release: logistic regression, one per outcome."""

from __future__ import annotations

import numpy as np

from nearline.rankers.linear import LogisticModel, TrainingRows, fit_logistic
from nearline.schema.candidates import F32
from nearline.schema.components import Arrays, Examples
from nearline.schema.errors import NearlineError


class LogisticRanker:
    """Logistic regression per outcome over standardised columns; the fallback when the ranker is late or fails."""

    name = "logistic"
    default = False

    def __init__(self) -> None:
        self._models: list[LogisticModel | None] = []

    def fit(self, examples: Examples, seed: int) -> Arrays:
        """Return each outcome's weights as arrays named `<place>.<array>`; none for an outcome without both labels.

        Raises:
            NearlineError: no outcome has both a positive and a negative example.
        """
        arrays: Arrays = {}
        examples = examples.whole(seed)
        for place, y in enumerate(np.ascontiguousarray(examples.y.T)):
            if 0 < y.sum() < len(y):
                model = fit_logistic(TrainingRows(examples.x, y, examples.weight, examples.group))
                arrays |= {f"{place}.{name}": array for name, array in model.arrays().items()}
        if not arrays:
            remedy = "none has both outcomes and passed-over items to learn from"
            raise NearlineError("examples", len(examples.x), remedy)
        return {"outcomes": np.array([examples.y.shape[1]]), **arrays}

    def load(self, arrays: Arrays) -> None:
        """Take what `fit` returned."""
        self._models = []
        for place in range(int(arrays["outcomes"][0])):
            start = f"{place}."
            own = {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}
            self._models.append(LogisticModel.from_arrays(own) if own else None)

    def score(self, columns: F32) -> F32:
        """Return probabilities, `[n_outcomes, n] float32`."""
        rows = [np.zeros(columns.shape[1], np.float32) if model is None else model.predict(columns) for model in self._models]
        return np.asarray(rows, np.float32).reshape(len(self._models), columns.shape[1])
