"""Quotas: how many candidates each source may bring on each surface, resolved once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nearline.schema.components import Source
from nearline.schema.query import SURFACES

BySurface = Mapping[str, Mapping[str, int]]
"""Quotas by surface and source, as the settings have them."""


@dataclass(frozen=True, slots=True)
class Quota:
    """What one source may bring on one surface.

    Attributes:
        place: of the source.
        most: candidates.
        fills: whether it is asked only where the others found too few for a page.
    """

    place: int
    most: int
    fills: bool = False


def quotas(sources: Sequence[Source], settings: BySurface) -> dict[str, tuple[Quota, ...]]:
    """Return what is asked on each surface, in the order in which it is asked.

    A source serves the surfaces that it names in `surfaces`, all by default; one that says `fills = True` fills up the
    others. The settings override both, by surface and name; 0 is never asked.
    """
    return {surface: _on(surface, sources, settings.get(surface, {})) for surface in SURFACES}


def _on(surface: str, sources: Sequence[Source], given: Mapping[str, int]) -> tuple[Quota, ...]:
    asked: list[Quota] = []
    for place, source in enumerate(sources):
        here = source.name in given or surface in getattr(source, "surfaces", SURFACES)
        fills = not here and getattr(source, "fills", False)
        most = given.get(source.name, source.quota)
        if most > 0 and (here or fills):
            asked.append(Quota(place, most, fills))
    # What fills up goes last: only then is known whether anything is missing.
    return tuple(sorted(asked, key=lambda quota: quota.fills))
