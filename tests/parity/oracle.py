"""A naive oracle: it keeps the raw events and works out each column from what its docstring says."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, groupby
from typing import NamedTuple

from nearline.schema.clock import DAY, HOUR, MINUTE
from nearline.schema.event import Role
from nearline.schema.ids import key32
from nearline.schema.kinds import RESERVED
from nearline.schema.profile import AGE_GROUPS, GENDERS

NAN = float("nan")
COUNTED = (Role.EXPOSURE, Role.VIEW, Role.CLICK, Role.INTENT, Role.CONVERSION, Role.NEGATIVE)


class Raw(NamedTuple):
    """One event, as `EVENT` has it: ms, 64-bit keys, thousandths, hundredths for the rating."""

    ts: int
    user: int
    item: int
    kind: int
    role: int
    weight: int
    category: int
    brand: int
    price: int
    value: int
    rating: int
    own: int = 0
    words: tuple[int, ...] = (0, 0, 0, 0)
    surface: int = 0


class Card(NamedTuple):
    """A candidate, as the catalogue has it; price in the shop's currency."""

    key: int
    category: int
    brand: int
    price: float


Column = Callable[[Card], float]


def kept(events: Iterable[Raw], ttl: int, now: int) -> list[Raw]:
    """Return a visitor's events that count at `now`: all since he was last away for more than `ttl`."""
    out: list[Raw] = []
    last = 0
    for event in events:
        if last and event.ts - last > ttl:
            out = []
        out.append(event)
        last = max(last, event.ts)
    return out if now - last <= ttl else []


def touches(events: Iterable[Raw]) -> list[Raw]:
    """Return events about an item that are more than having seen or searched."""
    return [e for e in events if e.item and e.role not in (Role.EXPOSURE, Role.SEARCH)]


def in_window(events: Sequence[Raw], width: int, tiles: int, now: int) -> list[Raw]:
    """Return events in the last `tiles` tiles, seen from `now` and from the newest event."""
    oldest = max([now // width, *(e.ts // width for e in events)]) - tiles
    return [e for e in events if e.ts // width > oldest]


class Oracle:
    """All events in the order of arrival, and every stateful column at any moment."""

    def __init__(self, events: Sequence[Raw], history: int) -> None:
        self.history = history
        self.users: dict[int, list[Raw]] = defaultdict(list)
        self.items: dict[int, list[Raw]] = defaultdict(list)
        for event in events:
            self.users[event.user].append(event)
            if not event.own:
                self.items[event.item].append(event)

    def columns(self, user: int, now: int) -> dict[str, Column]:
        """Return each column as a function of the candidate."""
        mine = self.users.get(user, []) if user else []
        hot, long = kept(mine, 24 * HOUR, now), kept(mine, 400 * DAY, now)
        return (
            last_items(hot)
            | session(hot, now)
            | user_counts(hot, long, now)
            | history(long, self.history, now)
            | affinity(long)
            | time_since(long, now)
            | user_totals(long)
            | price_bands(long)
            | ignored(long)
            | category_counts(long)
            | numbers(long, now)
            | top_items(long)
            | first_items(long)
            | searches(long, now)
            | demographics(long)
            | self.item_columns(now // MINUTE * MINUTE)
        )

    def item_columns(self, now: int) -> dict[str, Column]:
        """Return the columns that are the same for every visitor, at a full minute."""

        def of(card: Card) -> list[Raw]:
            return self.items.get(card.key, [])

        def week(card: Card) -> Counter[int]:
            return Counter(e.role for e in in_window([e for e in of(card) if e.role in COUNTED], DAY, 8, now))

        def week_count(role: Role) -> Column:
            return lambda card: week(card)[role]

        def total(*roles: Role) -> Column:
            return lambda card: sum(e.role in roles for e in of(card))

        def decayed(half_life: float) -> Column:
            def column(card: Card) -> float:
                width, out = 4 * HOUR, 0.0
                for e in in_window([e for e in of(card) if e.role != Role.EXPOSURE], width, 18, now):
                    end = (e.ts // width + 1) * width
                    out += e.weight // 10 * 0.5 ** (max(0, now - end) / HOUR / half_life)
                return out

            return column

        def ctr(card: Card) -> float:
            counts = week(card)
            return (counts[Role.CLICK] + 1) / (counts[Role.EXPOSURE] + 20)

        def cvr(card: Card) -> float:
            counts = week(card)
            return (counts[Role.CONVERSION] + 0.2) / (counts[Role.VIEW] + counts[Role.CLICK] + 20)

        def answers(card: Card, role: Role, *surfaces: int) -> int:
            return sum(e.role == role and (e.surface in surfaces if surfaces else e.surface > 0) for e in of(card))

        def everywhere(card: Card) -> float:
            return (answers(card, Role.CLICK) + 1) / (answers(card, Role.EXPOSURE) + 20)

        def here(card: Card) -> float:  # the homepage asks
            return (answers(card, Role.CLICK, 1) + 20 * everywhere(card)) / (answers(card, Role.EXPOSURE, 1) + 20)

        rated: Column = lambda card: sum(e.rating > 0 for e in of(card))  # noqa: E731
        return {
            **{f"item_{r.name.lower()}s_7d": week_count(r) for r in COUNTED},
            "item_ctr_7d": ctr,
            "item_cvr_7d": cvr,
            **{f"popularity_{hours}h": decayed(hours) for hours in (4, 12, 24)},
            "surface_exposures": lambda card: answers(card, Role.EXPOSURE, 1),
            "surface_ctr": here,
            "surface_lift": lambda card: here(card) / everywhere(card),
            "item_touches": total(*COUNTED[1:]),
            "item_clicks": total(Role.CLICK),
            "item_intents": total(Role.INTENT),
            "item_conversions": total(Role.CONVERSION),
            "item_ratings": rated,
            "item_rating": lambda card: mean([e.rating / 100 for e in of(card) if e.rating > 0]),
            "item_visitors": lambda card: len({e.user for e in touches(of(card)) if e.user}),
            "item_idle_hours": lambda card: max(0, now - max(e.ts for e in of(card))) / HOUR if of(card) else NAN,
        }


def mean(values: Sequence[float]) -> float:
    """Return the mean, NaN of nothing."""
    return sum(values) / len(values) if values else NAN


def same(value: float) -> Column:
    """Return a column that has one value for every candidate."""
    return lambda card: value


def last_items(hot: Sequence[Raw]) -> dict[str, Column]:
    """The last five different in a row."""
    runs = [next(run) for _, run in groupby(touches(hot), key=lambda e: e.item)][-5:]
    return {
        "last_category_share": lambda card: mean([float(0 != e.category == card.category) for e in runs]),
        "last_category_same": lambda card: float(bool(runs) and 0 != runs[-1].category == card.category),
    }


def session(hot: Sequence[Raw], now: int) -> dict[str, Column]:
    """The events since the last gap of more than 30 minutes, on times that never go back."""
    times = list(accumulate((e.ts for e in hot), max))
    begin = max((i for i in range(1, len(times)) if times[i] - times[i - 1] > 30 * MINUTE), default=0)
    live = bool(times) and now - times[-1] <= 30 * MINUTE
    own = [e for e in hot[begin:] if e.role not in (Role.EXPOSURE, Role.DECLARED)] if live else []
    category = next((e.category for e in reversed(own) if e.category), 0)
    return {
        "session_minutes": same((now - times[begin]) / MINUTE if live else NAN),
        "session_idle": same((now - times[-1]) / MINUTE if live else NAN),
        "session_views": same(sum(e.role == Role.VIEW for e in own)),
        "session_events": same(len(own)),
        "session_category": lambda card: float(0 != category == card.category),
    }


def user_counts(hot: Sequence[Raw], long: Sequence[Raw], now: int) -> dict[str, Column]:
    """Seven tiles of four hours, and eight of a day."""
    day = Counter(e.role for e in in_window([e for e in hot if e.role in COUNTED], 4 * HOUR, 7, now))
    week = Counter(e.role for e in in_window([e for e in long if e.role in COUNTED], DAY, 8, now))
    in_day, in_week = (Role.VIEW, Role.CLICK, Role.INTENT, Role.NEGATIVE), COUNTED[2:5]
    return {f"user_{r.name.lower()}s_1d": same(day[r]) for r in in_day} | {
        f"user_{r.name.lower()}s_7d": same(week[r]) for r in in_week
    }


def history(long: Sequence[Raw], n: int, now: int) -> dict[str, Column]:
    """The last `n` touches, on whole seconds that never go back."""
    own = touches(long)
    last = list(zip(own, accumulate((e.ts // 1000 for e in own), max), strict=True))[-n:]

    def hours(card: Card) -> float:
        return max(
            ((now / 1000 - s) / 3600 for e, s in last[::-1] if e.item == card.key),
            default=NAN,
            key=lambda h: -h,
        )

    return {
        "history_length": same(len(last)),
        "history_times": lambda card: sum(e.item == card.key for e, _ in last),
        "history_hours": hours,
    }


def affinity(long: Sequence[Raw]) -> dict[str, Column]:
    """Shares of weights that never go below nothing; the mean of the prices of what was chosen."""
    categories: Counter[int] = Counter()
    brands: Counter[int] = Counter()
    liked = [e for e in long if touches([e]) or e.role == Role.DECLARED]
    for e in liked:
        categories[e.category] = max(0, categories[e.category] + e.weight // 10)
        brands[e.brand] = max(0, brands[e.brand] + e.weight // 10)
    categories[0] = brands[0] = 0
    prices = [e.price / 1000 for e in liked if e.price > 0 and e.weight >= 10]
    return {
        "category_affinity": lambda card: categories[card.category] / max(1, sum(categories.values())),
        "brand_affinity": lambda card: brands[card.brand] / max(1, sum(brands.values())),
        "price_ratio": lambda card: card.price / mean(prices),
    }


def time_since(long: Sequence[Raw], now: int) -> dict[str, Column]:
    """Hours since the greatest time of a role; of purchases by category only the last four are known."""
    last = {role: max((e.ts for e in long if e.role == role), default=0) for role in COUNTED}
    bought: dict[int, int] = {}
    for e in long:
        if e.role == Role.CONVERSION and e.category:
            bought[e.category] = max(bought.get(e.category, 0), e.ts)
    known = dict(sorted(bought.items(), key=lambda pair: -pair[1])[:4])
    return {
        f"since_{role.name.lower()}": same((now - last[role]) / HOUR if last[role] else NAN)
        for role in (Role.CLICK, Role.INTENT, Role.CONVERSION)
    } | {"since_category_purchase": lambda card: (now - known[card.category]) / HOUR if card.category in known else NAN}


def user_totals(long: Sequence[Raw]) -> dict[str, Column]:
    """Means of ratings and of values."""
    return {
        "user_rating": same(mean([e.rating / 100 for e in long if e.rating > 0])),
        "user_value": same(mean([e.value / 1000 for e in long if e.value])),
    }


def price_bands(long: Sequence[Raw]) -> dict[str, Column]:
    """Bands that begin at 1, 2, 5, 10, ... 50,000."""
    edges = [step * 10**power for power in range(5) for step in (1, 2, 5)]

    def band(price: float) -> int:
        return sum(price >= edge for edge in edges)

    chosen = [band(e.price / 1000) for e in touches(long) if e.price > 0 and e.weight > 0]
    return {
        "price_band_share": lambda card: (
            NAN if card.price != card.price else mean([float(b == band(card.price)) for b in chosen])
        ),
        "price_band_gap": lambda card: NAN if card.price != card.price else band(card.price) - mean(chosen),
    }


def ignored(long: Sequence[Raw]) -> dict[str, Column]:
    """The last sixteen items seen, and how often since they were touched."""
    times: dict[int, int] = {}
    for e in long:
        if e.item and e.role != Role.SEARCH:
            count = times.pop(e.item, 0)
            if e.role == Role.EXPOSURE:
                times[e.item] = min(255, count + 1)
            if len(times) > 16:
                times.pop(next(iter(times)))
    return {"ignored_times": lambda card: times.get(card.key, 0)}


def category_counts(long: Sequence[Raw]) -> dict[str, Column]:
    """Counts in the last eight categories."""
    counts: dict[int, Counter[int]] = {}
    for e in touches(long):
        if e.category:
            counts[e.category] = counts.pop(e.category, Counter())
            counts[e.category][e.role] += 1
            if len(counts) > 8:
                counts.pop(next(iter(counts)))
    roles = {"clicks": Role.CLICK, "intents": Role.INTENT, "conversions": Role.CONVERSION}
    return {
        f"category_{name}": lambda card, role=role: counts.get(card.category, Counter())[role]  # type: ignore[misc]
        for name, role in roles.items()
    }


def numbers(long: Sequence[Raw], now: int) -> dict[str, Column]:
    """Seven whole days."""
    values = [e.value / 1000 for e in in_window([e for e in long if e.value], DAY, 7, now)]
    found = {"count": len(values), "sum": sum(values), "mean": mean(values)}
    found |= {"least": min(values, default=NAN), "greatest": max(values, default=NAN)}
    return {f"user_value_{name}_7d": same(value) for name, value in found.items()}


def top_items(long: Sequence[Raw]) -> dict[str, Column]:
    """Exact here: there are fewer than sixteen items."""
    times = Counter(e.item for e in touches(long))
    return {
        "top_item_share": lambda card: times[card.key] / max(1, times.total()),
        "top_item_rank": lambda card: 1 / (1 + sum(n > times[card.key] for n in times.values())) if times[card.key] else 0,
    }


def first_items(long: Sequence[Raw]) -> dict[str, Column]:
    """The first five different ones."""
    first: dict[int, int] = {}
    for e in touches(long):
        first.setdefault(e.item, e.category)
    kept_ = dict(list(first.items())[:5])
    return {
        "first_item": lambda card: float(card.key in kept_),
        "first_category_share": lambda card: sum(0 != c == card.category for c in kept_.values()) / max(1, len(kept_)),
    }


def last_searches(long: Sequence[Raw]) -> list[tuple[tuple[int, ...], int]]:
    """The last three different in a row, newest first, and the greatest time by then of each, in whole seconds."""
    own = [e for e in long if e.role == Role.SEARCH and e.words[0]]
    times = list(accumulate((e.ts // 1000 for e in own), max))
    runs = [list(run) for _, run in groupby(zip(own, times, strict=True), key=lambda pair: pair[0].words)]
    return [(run[-1][0].words, run[-1][1]) for run in runs[:-4:-1]]


def searches(long: Sequence[Raw], now: int) -> dict[str, Column]:
    """The age of the last, up to a day."""
    age = max(0.0, now / 1000 - last_searches(long)[0][1]) / 3600 if last_searches(long) else NAN
    return {"search_hours": same(age if age <= 24 else NAN)}


def demographics(long: Sequence[Raw]) -> dict[str, Column]:
    """The last that was said, where it is one of the names there are."""

    def last(name: str, choices: Sequence[str]) -> Column:
        said = [e.category for e in long if e.kind == RESERVED[f"${name}"]]
        codes = {key32(choice): float(place) for place, choice in enumerate(choices, 1)}
        return same(codes.get(said[-1], NAN) if said else NAN)

    return {"age_group": last("age_group", AGE_GROUPS), "gender": last("gender", GENDERS)}
