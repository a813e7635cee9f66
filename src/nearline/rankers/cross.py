"""A multi-task Deep & Cross network as ranker."""

from __future__ import annotations

from nearline.rankers.network import NetworkRanker
from nearline.rankers.networks import Learning, Shape


class CrossRanker(NetworkRanker):
    """Deep & Cross v2 (Wang et al. 2021), stacked: cross layers and dense ones that all outcomes share, then a head for each.

    The cross layers multiply features with each other, which a plain network has to imitate; a head of its own keeps what is
    particular to an outcome (a purchase hangs on the price as a click does not) out of the others.
    """

    name = "cross"
    default = False

    def __init__(self, shape: Shape | None = None, learning: Learning | None = None) -> None:
        super().__init__(shape or Shape(cross=2, hidden=(128, 64), head=32), learning)
