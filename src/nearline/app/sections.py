"""The sections of `nearline.toml`, one struct each; the descriptions are the documentation of the keys."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from nearline.schema.clock import DAY, HOUR, MINUTE, SECOND
from nearline.schema.errors import NearlineError

UNITS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}


def parse_duration(text: str, name: str = "duration") -> int:
    """Return a duration such as "90s", "30m", "24h" or "7d" in ms; "" is 0.

    Args:
        text: a whole number and one unit.
        name: what to call it in the error.

    Raises:
        NearlineError: it is not a duration, or longer than ten years.
    """
    match = re.fullmatch(r"\s*([0-9]{1,9})\s*([smhd])\s*", text)
    if match is None and text.strip():
        raise NearlineError(name, text, 'write a whole number and a unit: "90s", "30m", "24h" or "7d"')
    milliseconds = int(match[1]) * UNITS[match[2]] if match else 0
    if milliseconds > 3650 * DAY:
        raise NearlineError(name, text, 'choose at most ten years, "3650d"')
    return milliseconds


class Server(Struct, frozen=True):
    """The HTTP server."""

    host: Annotated[str, Meta(description="Address to listen on.", min_length=1)] = "127.0.0.1"
    port: Annotated[int, Meta(description="Port to listen on; 0 takes a free one.", ge=0, le=65535)] = 8080
    api_key: Annotated[
        str,
        Meta(
            description="Key that clients send; required off loopback. Best set in the environment.",
            extra={"secret": True},
        ),
    ] = ""
    max_body_bytes: Annotated[
        int,
        Meta(description="Largest request body, bytes; a larger one gets 413.", ge=1_000, le=1_000_000_000),
    ] = 2_000_000
    cors_origins: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^(\*|https?://[^/\s]+)$", description='origins, each "*" or "https://host"')], ...],
        Meta(description='Origins whose pages may call, such as "https://shop.example"; none: CORS is off.'),
    ] = ()
    page: Annotated[bool, Meta(description="Whether the page to look at it all is served at /.")] = True
    jobs: Annotated[
        bool,
        Meta(description="Whether it archives, snapshots and trains beside serving; off where others do, by a schedule."),
    ] = True
    queue_events: Annotated[
        int, Meta(description="Events that may wait to be stored; while more wait, new ones get 429.", ge=1)
    ] = 50_000

    def __repr__(self) -> str:
        """Return the section without its key, so that no log keeps it."""
        shown = {name: getattr(self, name) for name in self.__struct_fields__ if name != "api_key"}
        return f"Server({', '.join(f'{name}={value!r}' for name, value in shown.items())}, api_key=...)"


class Storage(Struct, frozen=True):
    """Where data is kept."""

    path: Annotated[
        str,
        Meta(description="The one folder that holds everything; relative to the application's.", min_length=1),
    ] = "nearline-data"
    log: Annotated[str, Meta(description='Store of the event log, by URL: "sqlite:", "postgresql:" or "kafka:".')] = "sqlite:"
    partitions: Annotated[
        int,
        Meta(
            description="Parts of the log that workers share out; more than 1 with kafka: only. Never changed later.",
            ge=1,
            le=1024,
        ),
    ] = 1
    state: Annotated[
        str,
        Meta(
            description='Store of users, by URL: "memory:", "postgresql:", "mysql:", "redis:", "redis+cluster:" or '
            '"cassandra:".'
        ),
    ] = "memory:"
    results: Annotated[
        str,
        Meta(
            description='Store of published lists, "redis:", "redis+cluster:", "postgresql:", "mysql:" or "cassandra:"; "": '
            "none. What is there serves a visitor whose list can't be made in time."
        ),
    ] = ""
    vectors: Annotated[
        str,
        Meta(
            description='Where vectors are searched, by URL: "memory:" (by their number), "memory:?index=scann&nprobe=64" '
            '(also ivf_sq8, ivf_pq, hnsw, flat; shards=4), "faiss:" (with FAISS or not at all), "milvus://host:19530" or "milvus:///folder/file.db".'
        ),
    ] = "memory:"
    lake: Annotated[
        str,
        Meta(
            description='Store of the archived log, by URL: "file:", "file:///a/folder", "s3://bucket/prefix" or '
            '"hdfs://namenode:9870/folder".'
        ),
    ] = "file:"
    releases: Annotated[
        str,
        Meta(description='Where releases are published for all servers, by URL as for the lake; "file:": for this one alone.'),
    ] = "file:"
    durability: Annotated[
        Literal["fsync", "relaxed"],
        Meta(description='"fsync": a 202 means on disk. "relaxed": a power cut may lose the last second.'),
    ] = "fsync"


class Retention(Struct, frozen=True):
    """How long data is kept."""

    log_days: Annotated[
        int,
        Meta(description="Days in the log; what the lake does not hold yet is never trimmed.", ge=1, le=36_500),
    ] = 7
    lake_days: Annotated[int, Meta(description="Days in the lake.", ge=1, le=36_500)] = 730


class State(Struct, frozen=True):
    """The online state: rows of users and items."""

    hot_ttl_hours: Annotated[
        int,
        Meta(description="Hours without an event after which a user's session and counters are gone.", ge=1),
    ] = 24
    history_ttl_days: Annotated[
        int, Meta(description="Days without an event after which a user's history is gone.", ge=1, le=36_500)
    ] = 400
    item_ttl_days: Annotated[
        int,
        Meta(description="Days without an event after which an item's counters are gone.", ge=1, le=36_500),
    ] = 7
    dedupe_hours: Annotated[int, Meta(description="Hours in which an event_id counts once.", ge=1, le=24 * 90)] = 24
    snapshot_every_minutes: Annotated[
        int, Meta(description="Minutes between snapshots; after a crash the rest is replayed.", ge=1, le=1440)
    ] = 10
    ahead_seconds: Annotated[
        int,
        Meta(description="An event further ahead of the clock than this is refused, seconds.", ge=0, le=86_400),
    ] = 60


class Budget(Struct, frozen=True):
    """Time a request may take; a late stage degrades and the response says so in `served_from`."""

    total_ms: Annotated[float, Meta(description="Milliseconds for the whole list.", gt=0, le=60_000)] = 50
    candidates_ms: Annotated[float, Meta(description="Milliseconds for all sources.", gt=0, le=60_000)] = 10
    features_ms: Annotated[float, Meta(description="Milliseconds for features.", gt=0, le=60_000)] = 5
    ranking_ms: Annotated[float, Meta(description="Milliseconds for the ranker.", gt=0, le=60_000)] = 20
    rules_ms: Annotated[float, Meta(description="Milliseconds for rules.", gt=0, le=60_000)] = 5
    breaker_failures: Annotated[
        int, Meta(description="Failures in a row after which a component is skipped.", ge=1, le=1_000)
    ] = 3
    breaker_seconds: Annotated[
        float, Meta(description="Seconds for which it is skipped, before it is tried again.", gt=0, le=3_600)
    ] = 30


def _quota() -> dict[str, int]:
    return {"covisit": 200, "als": 500, "content": 100, "trending": 100, "history": 100}


class CandidateLimits(Struct, frozen=True):
    """How many candidates a request looks at."""

    limit: Annotated[int, Meta(description="Candidates kept after merging the sources.", ge=1, le=100_000)] = 1000
    ranked: Annotated[
        int,
        Meta(
            description="Candidates that are ranked for pages of rows and where a rule lifts; otherwise ten times the list, "
            "200 at least; fewer when time is short.",
            ge=1,
            le=100_000,
        ),
    ] = 400
    quota: Annotated[
        dict[Annotated[str, Meta(min_length=1)], Annotated[int, Meta(ge=0, le=100_000)]],
        Meta(description="Most candidates of a source, by name; 0 turns it off, others keep their own."),
    ] = field(default_factory=_quota)
    surfaces: Annotated[
        dict[
            Annotated[str, Meta(min_length=1)],
            dict[Annotated[str, Meta(min_length=1)], Annotated[int, Meta(ge=0, le=100_000)]],
        ],
        Meta(
            description="The same by surface (homepage, item, cart, email, push, search), such as cart = { als = 0 }; "
            "others are asked where they say themselves."
        ),
    ] = field(default_factory=dict)


class Train(Struct, frozen=True):
    """Training in the background, in a process of its own."""

    every: Annotated[str, Meta(description='Time between trainings, such as "24h" or "30m"; "" turns it off.')] = "24h"
    after_events: Annotated[int, Meta(description="Also train after so many new events; 0: never.", ge=0)] = 0
    days: Annotated[int, Meta(description="Days of events to learn from.", ge=1, le=36_500)] = 30
    events: Annotated[
        int, Meta(description="Events to learn from at least, also of days before, as far as there are any.", ge=0)
    ] = 1_000_000
    evaluate_days: Annotated[int, Meta(description="The last of those days, kept apart to evaluate on.", ge=1, le=36_500)] = 7
    visitors: Annotated[
        float, Meta(description="Share of visitors whose events models are fitted on; the ranker learns from all.", gt=0, le=1)
    ] = 1.0
    warm_start: Annotated[
        bool, Meta(description="Go on from the newest release that knows nothing of what is judged by, in models that can.")
    ] = True
    examples: Annotated[int, Meta(description="Lists sampled to teach the ranker.", ge=100, le=100_000_000)] = 24_000
    position_bias: Annotated[
        Literal["weights", "cut", "ignore"],
        Meta(
            description="Of lists whose `seen` events nobody sent: an untouched item counts as far as its place is likely to "
            'have been looked at, as estimated ("weights"), if it stands above a touched one ("cut"), or always ("ignore").'
        ),
    ] = "weights"
    embeddings: Annotated[int, Meta(description="Dimension of user and item vectors.", ge=4, le=2048)] = 64
    deep: Annotated[
        bool,
        Meta(
            description="Train the default models that need the extra deep, where it is installed and there are enough events; "
            "what an application names itself is trained whatever this says."
        ),
    ] = True
    seed: Annotated[int, Meta(description="Seed of all randomness.", ge=0, le=2**32 - 1)] = 7
    nice: Annotated[int, Meta(description="Priority of the training process: 0 normal, 19 lowest.", ge=0, le=19)] = 10

    @property
    def every_ms(self) -> int:
        """Return the time between trainings in ms, 0 for off."""
        return parse_duration(self.every, "train.every")


class ComponentSettings(Struct, frozen=True):
    """Arguments of default components, as `nearline tune` finds them."""

    options: Annotated[
        dict[Annotated[str, Meta(min_length=1)], dict[Annotated[str, Meta(min_length=1)], float]],
        Meta(description="Arguments that are numbers, by component, such as ease = { regularization = 500 }."),
    ] = field(default_factory=dict)


class Impressions(Struct, frozen=True):
    """What is written down about each list shown."""

    log: Annotated[bool, Meta(description="Log each list; without it there is no feedback to learn from.")] = True
    features: Annotated[bool, Meta(description="Also log the features of the served items (some 300 bytes an item).")] = False


class ClockSettings(Struct, frozen=True):
    """Which time it is."""

    mode: Annotated[
        Literal["auto", "wall", "data"],
        Meta(description='"wall": now. "data": on from the last imported event. "auto": as the import said.'),
    ] = "auto"


class RuleSettings(Struct, frozen=True):
    """The default rules."""

    per_category: Annotated[int, Meta(description="Most items of one category on a page; 0: no cap.", ge=0)] = 5
    diversity: Annotated[
        float,
        Meta(
            description="Share of unlikeness to the items above in MMR: 0 only the score counts, 1 only it.",
            ge=0,
            le=1,
        ),
    ] = 0.15
    price_min: Annotated[float, Meta(description="Least price of an item in a list; 0: no matter.", ge=0)] = 0.0
    price_max: Annotated[float, Meta(description="Highest price of an item in a list; 0: no matter.", ge=0)] = 0.0
    categories: Annotated[
        int, Meta(description="Fewest categories in a list of twenty, where there are so many; 0: no matter.", ge=0)
    ] = 5
    frequency_cap: Annotated[
        int,
        Meta(description="Times in a day that an item is shown to a visitor who does not touch it; 0: no cap.", ge=0, le=1_000),
    ] = 5
    resend_days: Annotated[
        int,
        Meta(description="Days in which no email or push message repeats an item of another; 0: no matter.", ge=0, le=365),
    ] = 30
    exploration: Annotated[
        float,
        Meta(description="Share of places given to items that were not due, to learn about them; 0: none.", ge=0, le=0.5),
    ] = 0.1


class PublishSettings(Struct, frozen=True):
    """Lists made before they are asked for, by `nearline publish`."""

    to: Annotated[
        tuple[Annotated[str, Meta(min_length=1, description="URLs")], ...],
        Meta(
            description='Who gets them: "redis://...", "redis+cluster://...", "postgresql://...", "mysql://...", '
            '"cassandra://...", "kafka://.../topic", "https://...", "file:name.jsonl".',
            extra={"secret": True},
        ),
    ] = ()
    surfaces: Annotated[
        tuple[Annotated[str, Meta(min_length=1, description="surfaces")], ...],
        Meta(description="Surfaces that each user gets a list for."),
    ] = ("homepage",)
    on: Annotated[
        tuple[Annotated[str, Meta(min_length=1, description="event types")], ...],
        Meta(description="Event types after which his lists are made anew; none named: all with a positive weight."),
    ] = ()
    wait_ms: Annotated[
        int,
        Meta(description="Milliseconds from an event to its lists; what he does meanwhile is in them too.", ge=0, le=3_600_000),
    ] = 1_000
    length: Annotated[int, Meta(description="Items in a list.", ge=1, le=100)] = 20
    budget_seconds: Annotated[
        float,
        Meta(description="Seconds for which delivery is tried again; then a list goes to the dead letters.", ge=0, le=86_400),
    ] = 60
    keep_hours: Annotated[
        int,
        Meta(description="Hours for which Redis and PostgreSQL keep a list that no other replaces.", ge=1, le=24 * 400),
    ] = 168

    def __repr__(self) -> str:
        """Return the section without its URLs, which may hold passwords."""
        shown = {name: getattr(self, name) for name in self.__struct_fields__ if name != "to"}
        return f"PublishSettings(to=..., {', '.join(f'{name}={value!r}' for name, value in shown.items())})"


class EvaluationSettings(Struct, frozen=True):
    """For measuring; never on a server that people use."""

    mode: Annotated[
        bool,
        Meta(
            description="Lists have no budget and leave no impression, a request may give `now` (ms UTC) and "
            "`rules` (true or false), events may be ahead of the clock, and no background job runs."
        ),
    ] = False


class Settings(Struct, frozen=True):
    """All settings of one Nearline process."""

    server: Server = Server()
    storage: Storage = Storage()
    retention: Retention = Retention()
    state: State = State()
    budget: Budget = Budget()
    candidates: CandidateLimits = field(default_factory=CandidateLimits)
    train: Train = Train()
    components: ComponentSettings = field(default_factory=ComponentSettings)
    impressions: Impressions = Impressions()
    clock: ClockSettings = ClockSettings()
    rules: RuleSettings = RuleSettings()
    publish: PublishSettings = PublishSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
