"""The embedded engine: writer, worker and releases of one tenant behind the port that the HTTP layer calls."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from nearline.app.binding import build_pipeline
from nearline.app.release import current_release
from nearline.app.tenant import Tenant
from nearline.embedded.claim import claim
from nearline.embedded.patience import beside, within
from nearline.pipeline.breaker import Breakers
from nearline.pipeline.pipeline import Pipeline
from nearline.pipeline.run import Run
from nearline.rerank.rule_effects import by_name, counted
from nearline.schema.clock import HOUR, Clock
from nearline.schema.declared import Declaration, Declared
from nearline.schema.errors import NearlineError, StoreUnavailableError
from nearline.schema.event import ERASE, TOPICS, Record, Topic
from nearline.schema.ids import key, partition_of, visitor_key
from nearline.schema.item import Item
from nearline.schema.query import Query
from nearline.schema.rules import Rule
from nearline.schema.served import Explanation, Served, ServedItem, ServedPage
from nearline.serving.metrics import Metrics
from nearline.serving.onboarding import Onboarding, onboarding
from nearline.serving.pages import Pages
from nearline.serving.preview import RulePreview, compared
from nearline.serving.published import PublishedLists
from nearline.serving.recommender import Recommender
from nearline.serving.replies import Releases
from nearline.serving.similar import Similar, similar_items
from nearline.serving.user_view import user_view
from nearline.serving.why import Why, why
from nearline.serving.worker import Worker
from nearline.sources.vector_search import vector_gauges
from nearline.stores.archive import archived_ends, trim_archived
from nearline.stores.catalog import DELETED
from nearline.stores.log import Movable
from nearline.stores.recent import RecentUser, recent_users
from nearline.stores.releases import Manifest, Release, ReleaseStore
from nearline.stores.remote_world import RemoteWorld
from nearline.stores.rulebook import Rulebook
from nearline.stream.follower import Follower
from nearline.stream.local import LocalStream, expiry
from nearline.stream.sessions import Sessions
from nearline.stream.writer import Writer

logger = logging.getLogger("nearline.engine")
RENEW = 0.5
"""Seconds between two looks at whether an index of a source is out of date."""
LOGIN = 0.03
"""Seconds that a list waits at most for what its user did before he logged in."""
YIELDING = 0.1
"""Seconds for which a list of a batch lets other requests go before it."""
PAGES = 5_000
"""Lists remembered so that `after=` can continue them."""
PATIENCE = 4.0
"""Seconds that a start, or a page about releases, waits for stores it can do without."""


class Engine:
    """One tenant, running in this process.

    Args:
        tenant: whose.
        metrics: where it counts.
    """

    def __init__(self, tenant: Tenant, metrics: Metrics) -> None:
        self.tenant, self.metrics = tenant, metrics
        self.app, self.settings = tenant.app, tenant.settings
        self.clock: Clock = tenant.clock
        self.ready = False
        self.replayed = 0
        self._log = tenant.log()
        self.stream = LocalStream(tenant)
        self.world = self.stream.world
        self.catalog = self.world.catalog
        budget = tenant.settings.budget
        self._breakers = Breakers(budget.breaker_failures, budget.breaker_seconds)
        self._pages: OrderedDict[str, tuple[str, ...]] = OrderedDict()
        self.release: Release | None = None
        self.sessions = Sessions(tenant.settings.state.hot_ttl_hours * HOUR)
        self._carrying: set[asyncio.Future[int]] = set()
        self._follower: Follower | None = None
        self.impressions_lost = 0
        self._covered: set[str] = set()
        patience = budget.total_ms / 2000
        store = tenant.result_store(patience)
        self._published = PublishedLists(store, self.world, patience) if store is not None else None
        self.jobs: dict[str, float] = {}
        self._later = asyncio.Lock()
        self.failure: Exception | None = None
        self.stop: Callable[[], None] = lambda: None
        """Called when only a restart helps."""

    async def open(self) -> None:
        """Restore state, load the release, start the threads; then it is ready."""
        loop = asyncio.get_running_loop()
        refreshed = asyncio.ensure_future(within(PATIENCE, self.tenant.releases.refresh))
        await self._fit_to_lake()
        self.replayed = await loop.run_in_executor(None, self.stream.restore, self._log)
        await loop.run_in_executor(None, self.sessions.restore, self._log)
        try:
            await refreshed
        except (StoreUnavailableError, NearlineError) as error:
            logger.warning("the registry of releases is not read; the last copy here serves", extra={"error": str(error)})
        self.release = current_release(self.tenant)
        self.recommender = Recommender(self.tenant, self.world, self._pipeline(self.release))
        settle = None
        if self._log.shared:
            self._follower = Follower(self._log, self.stream, loop, broken=self._gave_up)
            settle = self._follower.settle
        self._writer = Writer(self._log, self.stream, self.clock, loop, self._folded, self._gave_up, settle)
        self._worker = Worker(loop)
        # One list before the first request: caches warm, indexes built.
        query = Query(0, self.clock.now(), limits=False, log=False)
        await self._worker.submit(self.recommender.start(query), self.recommender.pipeline)
        self._renewing = asyncio.create_task(self._renew())
        self.ready = True

    async def _fit_to_lake(self) -> None:
        """Move the log's ends to the lake's: offsets that the lake gave away are not given again.

        Raises:
            NearlineError: the lake is another log's.
            StoreUnavailableError: the lake does not answer, and the log may have lost its tail in a power cut, or all of it.
        """
        log, lake = self._log, self.tenant.lake
        if not isinstance(log, Movable):
            return

        def ask() -> dict[Topic, int]:
            claim(self.tenant)
            return {topic: lake.end(topic) for topic in TOPICS}

        try:
            ends = await within(PATIENCE, ask)
        except StoreUnavailableError as error:
            if self.settings.storage.durability == "relaxed" or not any(log.end(topic) for topic in TOPICS):
                raise
            logger.warning("the lake does not answer; what is not archived waits", extra={"error": str(error)})
            return
        for topic, archived in ends.items():
            if archived > log.end(topic):
                log.set_end(topic, archived)

    async def _renew(self) -> None:
        """Keep the indexes of the sources up to date, on a thread beside the requests."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(RENEW)
            try:
                await loop.run_in_executor(None, self.recommender.pipeline.renew, self.clock.now())
            except Exception:
                # What was indexed before goes on serving.
                logger.exception("renewing the sources' indexes failed")

    async def close(self) -> None:
        """Write what waits, save a snapshot, let go of the log."""
        self.ready = False
        loop = asyncio.get_running_loop()
        self._renewing.cancel()
        await loop.run_in_executor(None, self._writer.close)
        if self._follower is not None:
            await loop.run_in_executor(None, self._follower.close)
        self._worker.close()
        if self.failure is None:
            await loop.run_in_executor(None, self.stream.save)
        self._log.close()
        self.world.release()
        if self._published is not None:
            self._published.release()

    def _gave_up(self, error: Exception) -> None:
        """Serve nothing more: what is in the log is not what lists would be made from."""
        self.ready, self.failure = False, error
        self.stop()

    def _pipeline(self, release: Release | None) -> Pipeline:
        arrays, version = (release.arrays, release.manifest.version) if release else ({}, "")
        return build_pipeline(self.tenant, self.world, arrays, version, self._breakers)

    async def reload(self) -> str:
        """Swap to the current release, between requests; return its version."""
        loop = asyncio.get_running_loop()
        release = await loop.run_in_executor(None, current_release, self.tenant)
        if release is not None:
            # Indexes are built beside the loop, which goes on serving from the release before.
            pipeline = await loop.run_in_executor(None, self._pipeline, release)
            self.release, self.recommender.pipeline = release, pipeline
            logger.info("release in service", extra={"release": release.manifest.version})
        return self.recommender.pipeline.release

    async def trim(self) -> None:
        """Drop from the log what is archived and old enough; on the writer's thread. A shared log has its own retention."""
        if self._log.shared:
            return
        keep, _ = expiry(self.tenant)
        archived = await beside(lambda: archived_ends(self._log, self.tenant.lake))

        def act() -> None:
            trim_archived(self._log, archived, self.clock, keep)

        self._writer.between(act)

    @property
    def declared(self) -> Declared:
        """What is set by name: rules, lists, ..."""
        return self.world.declared

    @property
    def behind(self) -> bool:
        """Whether more events wait than the settings allow."""
        return self._writer.pending > self.settings.server.queue_events

    async def add_events(self, records: Sequence[Record]) -> int:
        """Make events durable and fold them; return the offset after the last, in its visitor's partition of the log.

        With the first event that names both, what a session did anonymously is carried to its user.
        """
        merged = self.sessions.merged(records, self.clock.now())
        try:
            ends = await self._writer.submit("user_events", merged)
        except Exception:
            self.sessions.put_back(merged)
            raise
        last = merged[-1]
        return ends[partition_of(visitor_key(last.user_id, last.session_id), self._log.partitions)]

    async def _login(self, query: Query) -> None:
        """Carry what a session did to the user who now asks, so that his list sees it; a slow log is not waited for."""
        if not query.user_id or query.session_id not in self.sessions:
            return
        carried = self.sessions.carried(query.user_id, query.session_id, self.clock.now())
        carrying = asyncio.ensure_future(self.add_events(carried))
        self._carrying.add(carrying)
        carrying.add_done_callback(self._carried)
        await asyncio.wait([carrying], timeout=LOGIN)

    def _carried(self, carrying: asyncio.Future[int]) -> None:
        self._carrying.discard(carrying)
        if not carrying.cancelled() and (error := carrying.exception()) is not None:
            logger.warning("a session waits for its user still", extra={"error": str(error)})

    async def put_items(self, items: Sequence[Item]) -> int:
        """Make items durable and register them; return the offset of `item_events` after the last.

        Raises:
            NearlineError: the key of an id, category or brand is another's.
        """
        self.catalog.check(items)
        now = self.clock.now()
        records = [Record("", "put", "", item.item_id, now, now, context=msgspec.json.encode(item).decode()) for item in items]
        return (await self._writer.submit("item_events", records))[0]

    async def delete_item(self, item_id: str) -> bool:
        """Withdraw an item, durably; return whether it was there."""
        if item_id not in self.catalog.items:
            return False
        now = self.clock.now()
        await self._writer.submit("item_events", [Record("", DELETED, "", item_id, now, now)])
        return True

    async def declare(self, declaration: Declaration) -> int:
        """Make a declaration durable and bring it into force; return the offset of `item_events` after it."""
        offset = (await self._writer.submit("item_events", [declaration.record(self.clock.now())]))[0]
        # What is made of it is there when the answer comes: the next list is under it.
        await asyncio.get_running_loop().run_in_executor(None, self.world.rules.renew, self.clock.now())
        return offset

    @property
    def rules(self) -> Rulebook:
        """The rules of the application and those declared."""
        return self.world.rules

    async def preview(self, rule: Rule, query: Query) -> RulePreview:
        """Return a list without and with a rule; neither leaves an impression."""
        loop, recommender = asyncio.get_running_loop(), self.recommender
        await self._prepare(query)
        await loop.run_in_executor(None, self.world.rules.prepare, rule, query.now)
        trial = msgspec.structs.replace(query, trial=rule)
        others = msgspec.structs.replace(query, trial=None)
        runs = [await self._worker.submit(recommender.start(one), recommender.pipeline) for one in (others, trial)]
        before, after = (recommender.finish(run, recommender.pipeline)[0] for run in runs)
        known = runs[1].user is not None and runs[1].user.slot >= 0
        applies = self.world.rules.applies(trial, known)
        return compared(before, after, self.catalog, applies, by_name(runs[1].user).get(rule.name, 0))

    async def _prepare(self, query: Query) -> None:
        """Index the attributes that a request filters by, beside the requests, where nobody asked for them yet."""
        if query.filters and not self.world.attributes.ready(query.filters):
            await asyncio.get_running_loop().run_in_executor(None, self.world.attributes.mask, query.filters, query.now)

    async def erase_user(self, user_id: str) -> int:
        """Write the tombstone and clear the user's state at once; return the tombstone's offset."""
        now = self.clock.now()
        ends = await self._writer.submit("user_events", [Record("", ERASE, user_id, "", now, now)])
        offset = ends[partition_of(key(user_id), self._log.partitions)]
        self.recommender.fallback.forget(key(user_id), offset)
        if self._published is not None:
            self._published.forget(user_id, offset, self.tenant.name)
        return offset - 1

    async def recommend(self, query: Query, after: str = "") -> Served:
        """Return a list within the budget, whatever fails."""
        if after:
            shown = self._pages.get(after)
            if shown is None:
                raise NearlineError("after", after, "use the request_id of a recent list, or ask from the start")
            query = msgspec.structs.replace(query, exclude=(*query.exclude, *shown))
        else:
            shown = ()
        await self._login(query)
        await self._prepare(query)
        recommender = self.recommender
        pipeline = recommender.pipeline
        run = await self._made(query, recommender, pipeline)
        served, impression = recommender.finish(run, pipeline)
        self._leave([] if impression is None else [impression])
        self._pages[served.request_id] = (*shown, *(item.item_id for item in served.items))
        if len(self._pages) > PAGES:
            self._pages.popitem(last=False)
        self._count(run, served.served_from, served.items)
        return served

    async def recommend_later(self, query: Query) -> Served:
        """Return a list once no other request waits, one at a time; it can't be continued."""
        await self._login(query)
        await self._prepare(query)
        async with self._later:
            patience = time.monotonic() + YIELDING
            await asyncio.sleep(0)
            while self._worker.busy and time.monotonic() < patience:
                await asyncio.sleep(0.001)
            recommender = self.recommender
            pipeline = recommender.pipeline
            query = msgspec.structs.replace(query, now=self.clock.now())
            run = await self._made(query, recommender, pipeline)
            served, impression = recommender.finish(run, pipeline)
            self._leave([] if impression is None else [impression])
            self._count(run, served.served_from, served.items)
            return served

    async def page(self, query: Query) -> ServedPage:
        """Return a page within the budget, whatever fails."""
        await self._login(query)
        await self._prepare(query)
        recommender = self.recommender
        pipeline = recommender.pipeline
        run = await self._made(query, recommender, pipeline)
        served, impressions = Pages(recommender).finish(run, pipeline)
        self._leave(impressions)
        self._count(run, served.served_from, [item for row in served.rows for item in row.items])
        return served

    async def _made(self, query: Query, recommender: Recommender, pipeline: Pipeline) -> Run:
        """Return a finished run; where nothing was made in time, with what was published for its visitor before."""
        run = await self._worker.submit(recommender.start(query), pipeline)
        nothing = run.ranked is None or not len(run.ranked.scores)
        if nothing and query.limits and self._published is not None and not recommender.fallback.knows(query.visitor):
            run.published = await self._published.of(query)
        return run

    def _leave(self, impressions: Sequence[Record]) -> None:
        """Have impressions written, where the log keeps up."""
        for impression in impressions:
            if self._writer.pending < self.settings.server.queue_events:
                self._writer.leave("feedback", impression)
            else:
                self.impressions_lost += 1

    def _count(self, run: Run, served_from: str, items: Sequence[ServedItem]) -> None:
        metrics = self.metrics
        metrics.served(served_from, self.recommender.pipeline.reach({item.rec_source for item in items}))
        for stage, seconds in run.times.items():
            metrics.stage(stage, seconds)
        errors = run.trace.get("errors", ())
        for name in run.missing:
            (metrics.component_error if name in errors else metrics.component_timeout)(name)
        for effects in counted(run.user):
            metrics.rule_effects(effects)
        for item in items:
            self._covered.add(item.item_id)

    async def explain(self, query: Query, item_id: str) -> Why | None:
        """Return why an item is in the list that a query gets, or why not; `None` where it never came."""
        if self.catalog.slot(item_id) < 0:
            return None
        await self._prepare(query)
        recommender = self.recommender
        pipeline = recommender.pipeline
        query = msgspec.structs.replace(query, debug=True)
        run = await self._worker.submit(recommender.start(query), pipeline)
        served, _ = recommender.finish(run, pipeline)
        return why(run, pipeline, served, self.world, item_id)

    async def releases(self) -> Releases:
        """Return all releases, the newest first."""
        store = self.tenant.releases

        def read(store: ReleaseStore) -> list[Manifest]:
            return [store.manifest(version) for version in reversed(store.versions())]

        try:
            found = await within(PATIENCE, partial(read, store))
        except StoreUnavailableError:
            found = read(ReleaseStore(store.folder))  # those that there are copies of
        return Releases(self.recommender.pipeline.release, found)

    async def recent_users(self, limit: int) -> list[RecentUser]:
        """Return the users of the newest events, the latest first."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, recent_users, self._log, self.tenant.lake, limit)

    async def similar(self, item_id: str, query: Query, limit: int, diversity: float) -> list[Similar] | None:
        """Return items similar to one, `None` where it is unknown."""
        if item_id not in self.catalog.items:
            return None
        slot = self.catalog.slot(item_id)
        return similar_items(self.world, self.recommender.pipeline, slot, query, limit, diversity)

    async def trending(self, limit: int, category: str = "") -> list[ServedItem]:
        """Return what trends, best first."""
        return self._trending(limit, category)

    def _trending(self, limit: int, category: str) -> list[ServedItem]:
        query = Query(0, self.clock.now(), page_size=limit, limits=False, log=False)
        blank = self.world.hydrate(0, query.now)
        wide = msgspec.structs.replace(query, page_size=limit if not category else max(limit, 1000))
        ranked, source = self.recommender.fallback.ranked(wide, blank)
        out: list[ServedItem] = []
        for slot, score in zip(ranked.candidates.items.tolist(), ranked.scores.tolist(), strict=True):
            item = self.catalog.items[self.catalog.ids[slot]]
            if category and not (item.category == category or item.category.startswith(category + " > ")):
                continue
            explanation = Explanation("trending", "Trending now")
            fragment = self.catalog.items.fragment(slot)
            out.append(ServedItem(item.item_id, len(out) + 1, score, explanation, fragment, source))
            if len(out) == limit:
                break
        return out

    async def onboarding(self, n: int) -> Onboarding:
        """Return categories and items that a new visitor may choose from, by what trends."""
        query = Query(0, self.clock.now(), page_size=400, limits=False, log=False)
        ranked, _ = self.recommender.fallback.ranked(query, self.world.hydrate(0, query.now))
        return onboarding(self.catalog, ranked.candidates.items, n)

    async def user(self, user_id: str) -> dict[str, Any] | None:
        """Return the state a person can read, `None` where there is none."""
        loop, now = asyncio.get_running_loop(), self.clock.now()
        # A store that hangs must not hold the loop up.
        return await loop.run_in_executor(None, user_view, self.world, visitor_key(user_id, ""), user_id, now)

    def _folded(self, events: int, seconds: float) -> None:
        self.metrics.effect(seconds)
        if new := self._writer.duplicates + self.stream.dropped - self._counted:
            self._counted += new
            self.metrics.events(duplicate=new)

    _counted = 0

    def gauges(self) -> dict[str, float]:
        """Return the numbers for `/metrics` that only the engine knows."""
        state, follower = self.world.state, self._follower
        lag = follower.lag if follower is not None else self._log.end("user_events") - state.offset
        archived = sum(self.tenant.lake.partition(number).seen_end("user_events") for number in range(self._log.partitions))
        release = self.release.manifest if self.release else None
        rows = self.world if isinstance(self.world, RemoteWorld) else None
        return {
            "nearline_log_answers": float(self._writer.away is None and (follower is None or follower.answers)),
            "nearline_rows_answer": float(rows is None or rows.answers),
            "nearline_rows_failures_total": float(rows.failures if rows else 0),
            "nearline_results_answer": float(self._published is None or self._published.answers),
            **vector_gauges(self.recommender.pipeline.sources),
            "nearline_poison_messages_total": float(self.stream.poison),
            "nearline_queue_events": float(self._writer.pending),
            "nearline_log_lag_events": float(lag),
            "nearline_archive_lag_events": float(state.offset + lag - archived),
            "nearline_catalog_items": float(len(self.catalog)),
            "nearline_catalog_coverage": len(self._covered) / max(1, len(self.catalog)),
            "nearline_visitors": float(len(state.users)),
            "nearline_state_bytes": float(state.nbytes() + self.world.showings.nbytes()),
            "nearline_release_age_seconds": (self.clock.now() - release.created_at) / 1e3 if release else -1.0,
            "nearline_impressions_lost_total": float(self.impressions_lost + self._writer.lost),
            **self.jobs,
        }
