"""What of a shop's life is simulated, in one place."""

from __future__ import annotations

from dataclasses import dataclass

from nearline.schema.errors import NearlineError


@dataclass(frozen=True, slots=True)
class ShopConfig:
    """How much of each thing happens; 0 (or False) turns it off. Strengths are in logits of the click probability.

    With the defaults tastes stand still, nobody and nothing new comes after the present, and demand has no season: a world
    is then the same, byte for byte, as before these were modelled.

    Args:
        texts: items have a description, made from words of their style, brand, category and price.
        style: how much people like or dislike an item's hidden style, which only the description gives away.
        drift: share of each interest that is replaced within a week; interests come and go, their spread stays.
        satiation: what a leaf category loses right after a purchase from it.
        satiation_days: after which half of that is left.
        need: what the complement of a purchase wins right after it.
        need_days: after which half of that is left.
        sameness: what each earlier item of the same leaf in a list costs an item that the visit is not after.
        new_items: items that arrive a day after the present, as a share of the catalogue.
        new_users: people who first come a day after the present, as a share of those there are.
        horizon_days: days after the present for which new items and users are made.
        season: amplitude of a slow wave of demand, with its own phase in each leaf.
        season_days: length of that wave.
        rhythm: amplitude of what is wanted more in the evening or at weekends, by leaf.
        weekend: factor on the visits of Saturday and Sunday.
        daily: exponent of the usual curve of visits over a day's hours; 0: all hours alike.
        browsing: chance that a visitor who answered a list also opens a page of the shop's own, and acts there.
        price: how much a price above the leaf's median deters, times each person's own thrift.

    Raises:
        NearlineError: a value out of range.
    """

    texts: bool = False
    style: float = 0.0
    drift: float = 0.0
    satiation: float = 0.0
    satiation_days: float = 30.0
    need: float = 0.0
    need_days: float = 7.0
    sameness: float = 0.0
    new_items: float = 0.0
    new_users: float = 0.0
    horizon_days: int = 56
    season: float = 0.0
    season_days: float = 91.0
    rhythm: float = 0.0
    weekend: float = 1.25
    daily: float = 1.0
    browsing: float = 0.0
    price: float = 0.0

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if value < 0:
                raise NearlineError(name, value, "use 0, which turns it off, or a positive number")
        if self.drift >= 1:
            raise NearlineError("drift", self.drift, "use a share below 1: 0.1 replaces a tenth in a week")
        for name in ("satiation_days", "need_days", "season_days"):
            if getattr(self, name) == 0:
                raise NearlineError(name, 0, "use a positive number of days")

    @property
    def moody(self) -> bool:
        """Return whether what is wanted of a leaf depends on the time or on what was bought."""
        return bool(self.season or self.rhythm or self.satiation or self.need)


STILL = ShopConfig()
"""Nothing changes."""

LIVELY = ShopConfig(
    texts=True, style=0.5, drift=0.1, satiation=2.0, need=0.8, sameness=0.1, new_items=0.005, new_users=0.005,
    season=0.4, rhythm=0.3, browsing=0.6, price=0.3,
)  # fmt: skip
"""Everything does, moderately."""
