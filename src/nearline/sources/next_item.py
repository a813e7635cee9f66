"""Next item: what people went on to after the very last item; the same tables as co-visitation, asked with one item."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from nearline.schema.span import Span
from nearline.sources.covisit import CovisitSource


class NextItemSource(CovisitSource):
    """Direct successors of the last touched item; beside co-visitation it tells the ranker how fresh the link is.

    Args:
        quota: candidates at most.
    """

    name = "next_item"
    family = "collaborative"
    reason: ClassVar[str] = "right_after"
    template: ClassVar[str] = "Right after {title}"
    tunes: ClassVar[Mapping[str, Span]] = {}

    def __init__(self, quota: int = 60) -> None:
        super().__init__(quota, ask=1)
