"""Weeks of a simulated shop in virtual time: import its past, train, serve visitors, train again, for each configuration."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from nearline.app.attributes import Text
from nearline.app.definition import App
from nearline.app.settings import load_settings
from nearline.app.tenant import Tenant
from nearline.batch.importing import import_dataset
from nearline.batch.training import train
from nearline.embedded.demo import shop_dataset
from nearline.embedded.engine import Engine
from nearline.embedded.in_process import InProcess, at_time
from nearline.embedded.weeks import ArmReport, Comparison, by_week
from nearline.schema.clock import VirtualClock
from nearline.schema.errors import NearlineError
from nearline.schema.event import EventType
from nearline.serving.metrics import Metrics
from nearline.sim.client import Answer
from nearline.sim.driver import drive
from nearline.sim.report import ListNote
from nearline.sim.world import ShopWorld

APP = App(
    name="shop",
    events=[
        "seen", "view", "click", "add_to_cart", "purchase", "search", "dislike", "return",
        EventType("rate", weight=1, role="none"),
    ],
    attributes={"description": Text()},
    weights={"click": 1.0, "purchase": 8.0},
)  # fmt: skip
"""The shop's application, that of the demo with the items' texts declared."""

DEFAULTS = {
    "STORAGE_DURABILITY": "relaxed",
    # Nothing is ever late: what is measured is the lists, not the machine.
    "BUDGET_TOTAL_MS": "60000", "BUDGET_CANDIDATES_MS": "15000", "BUDGET_FEATURES_MS": "15000",
    "BUDGET_RANKING_MS": "15000", "BUDGET_RULES_MS": "15000",
    "STATE_SNAPSHOT_EVERY_MINUTES": "1440",
    "TRAIN_EVERY": "", "TRAIN_DAYS": "28", "TRAIN_EVALUATE_DAYS": "7", "TRAIN_EXAMPLES": "1500", "TRAIN_EMBEDDINGS": "16",
}  # fmt: skip
Say = Callable[[str], None]


@dataclass(frozen=True)
class Arm:
    """One configuration.

    Attributes:
        name: what to call it.
        settings: those that differ, as `section.key` with the value's text.
        state: "streamed": what happens counts at once; "midnight": events reach the engine when the day is over.
    """

    name: str
    settings: Mapping[str, str] = field(default_factory=dict)
    state: Literal["streamed", "midnight"] = "streamed"


@dataclass(frozen=True)
class WeeksPlan:
    """What to simulate.

    Attributes:
        weeks: of visits after the past.
        past_days: of traffic without a recommender that is imported first.
        page_size: items a list.
        rate: factor on everybody's activity.
        train_days: days between trainings; the first is before the first visit.
        run: another number, other visits.
    """

    weeks: int = 4
    past_days: int = 28
    page_size: int = 10
    rate: float = 1.0
    train_days: int = 7
    run: int = 0


def arm(text: str) -> Arm:
    """Return the configuration that `name:section.key=value;section.key=value` says; `state=midnight` among them is its state.

    Raises:
        NearlineError: something else was written.
    """
    name, _, rest = text.partition(":")
    given: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in rest.split(";"))):
        key, found, value = part.partition("=")
        if not found or ("." not in key and key != "state"):
            raise NearlineError("--arm", text, 'write "name:section.key=value;section.key=value"')
        given[key.strip()] = value.strip()
    state = given.pop("state", "streamed")
    if state not in ("streamed", "midnight"):
        raise NearlineError("--arm", state, 'as state give "streamed" or "midnight"')
    return Arm(name.strip() or "default", given, "midnight" if state == "midnight" else "streamed")


def compare(world: ShopWorld, arms: Sequence[Arm], plan: WeeksPlan, say: Say = lambda text: None) -> Comparison:
    """Let the same people visit each configuration, each in a whole copy of the world.

    Copies and not halves of the users: configurations that share a log would learn from each other's clicks, and what
    one shows to new items would be the other's gain. The draws of visits are the same in each copy.

    Args:
        world: the shop; what a run changes in it is the run's own.
        arms: the configurations.
        plan: how long, how much.
        say: told about each step.
    """
    reports = [run_arm(world, one, plan, say) for one in arms]
    return Comparison(world.seed, len(world.people.ids), len(world.items), reports)


def run_arm(world: ShopWorld, arm: Arm, plan: WeeksPlan, say: Say = lambda text: None) -> ArmReport:
    """Simulate one configuration in a temporary folder.

    Raises:
        NearlineError: a wrong setting, or nothing to train on.
    """
    given = {f"NEARLINE_{name.replace('.', '_').upper()}": value for name, value in arm.settings.items()}
    environ = {f"NEARLINE_{name}": value for name, value in DEFAULTS.items()} | given
    clock = VirtualClock(world.end_ms + 1)
    with tempfile.TemporaryDirectory(prefix="nearline-sim-") as folder:
        settings = load_settings(None, environ | {"NEARLINE_STORAGE_PATH": str(Path(folder) / "data")})

        def tenant() -> Tenant:
            return at_time(Tenant(APP, settings), clock)

        import_dataset(tenant(), shop_dataset(world, plan.past_days))
        releases: list[str] = []

        def learn() -> None:
            outcome = train(tenant())
            if outcome.published:
                releases.append(outcome.manifest.version)
            verdict = "published" if outcome.published else "refused"
            say(f"{arm.name}: {outcome.manifest.version} {verdict}, taught by {outcome.manifest.examples}")

        learn()
        engine = Engine(tenant(), Metrics())
        client = InProcess(engine, clock)
        client.do(engine.open())
        held = HeldPosts(client)
        notes: list[ListNote] = []

        def morning(day: int, now: int) -> None:
            held.flush()
            if day and day % plan.train_days == 0:
                say(f"{arm.name}: day {day}")
                learn()
            if day:  # a new release, and indexes that know the new items
                client.do(engine.reload())

        try:
            found = drive(
                "", world, 7 * plan.weeks, page_size=plan.page_size, rate=plan.rate, run=plan.run,
                client=held if arm.state == "midnight" else client, note=notes.append, tick=client.tick, morning=morning,
            )  # fmt: skip
        finally:
            client.end()
    weeks, total = by_week(notes, world)
    return ArmReport(arm.name, weeks, total, releases, found.errors + held.refused, dict(client.degraded))


class HeldPosts:
    """Keeps events back until they are flushed: an engine that knows yesterday's state."""

    retries = 0

    def __init__(self, client: InProcess) -> None:
        self._client = client
        self._held: list[bytes] = []
        self.refused = 0

    def get(self, path: str) -> Answer:
        """Send a GET."""
        return self._client.get(path)

    def post(self, path: str, body: bytes) -> Answer:
        """Keep events; send anything else."""
        if path != "/v1/events":
            return self._client.post(path, body)
        self._held.append(body)
        return Answer(202, b"", 0.0)

    def flush(self) -> None:
        """Send what was kept."""
        held, self._held = self._held, []
        self.refused += sum(not self._client.post("/v1/events", body).ok for body in held)
