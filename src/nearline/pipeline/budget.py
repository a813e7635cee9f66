"""Time limits of the stages, in seconds."""

from __future__ import annotations

from dataclasses import dataclass

STAGES = ("candidates", "features", "ranking", "rules")
"""Stages with a slice of their own."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The budget of a request; a stage that is late degrades, at the total the fallback answers.

    Attributes:
        patience: a step that holds its thread for so many times its stage's slice is taken to hang.
    """

    total: float = 0.050
    candidates: float = 0.010
    features: float = 0.005
    ranking: float = 0.020
    rules: float = 0.005
    candidates_kept: int = 1000
    candidates_ranked: int = 400
    patience: float = 1.5

    def of(self, stage: str) -> float:
        """Return a stage's slice."""
        return getattr(self, stage) if stage in STAGES else self.total
