"""Gates: reasons not to publish. Comparisons use two standard errors of the paired difference."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nearline.schema.components import Examples
from nearline.stores.releases import Gate

LEAST_COVERAGE = 0.2
"""Share of the compared coverage below which coverage has collapsed."""


def teaching_gate(examples: Examples) -> Gate:
    """Refuse a training set without positives or without negatives, and say what it lacks."""
    positives = int((examples.y > 0).any(axis=1).sum()) if len(examples.y) else 0
    negatives = len(examples.y) - positives
    passed = positives > 0 and negatives > 0
    found = f"{positives} positives, {negatives} passed over"
    if not passed and not positives:
        named = ", ".join(examples.outcomes)
        found += (
            f"; nobody did any of the outcomes ({named}) with what could be listed for him: give events of these types, "
            'or make one of those there are an outcome: EventType("view", outcome=True)'
        )
    return Gate("training set", passed, found)


def comparison_gate(name: str, ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> Gate:
    """Refuse what is worse than another on the same cases by more than two standard errors.

    Args:
        ours, theirs: NDCG by case, `[n_cases] float64`.
    """
    difference = ours - theirs
    mean = float(difference.mean()) if len(difference) else 0.0
    error = float(difference.std() / max(1, len(difference)) ** 0.5) if len(difference) else 0.0
    text = f"NDCG@10 {ours.mean():.4f} against {theirs.mean():.4f} on {len(ours)} cases, error of the difference {error:.4f}"
    return Gate(name, bool(mean >= -2 * error), text)


def finite_gate(scores: NDArray[np.float32]) -> Gate:
    """Refuse scores that are not finite."""
    bad = int((~np.isfinite(scores)).sum())
    return Gate("finite scores", bad == 0, f"{bad} of {scores.size} scores are not finite")


def coverage_gate(ours: float, theirs: float) -> Gate:
    """Refuse a release whose lists cover less than a fifth of what the compared one's cover."""
    return Gate("coverage", ours >= LEAST_COVERAGE * theirs, f"{ours:.3f} of the catalogue against {theirs:.3f}")
