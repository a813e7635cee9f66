"""A tenant put together: application, settings, stores, state. Every lane starts from here."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import msgspec

from nearline.app.defaults import Components, components
from nearline.app.definition import App, feature_set_hash, state_hash
from nearline.app.sections import Settings
from nearline.features.retrieval import RetrievalFeature
from nearline.features.suppression import SuppressionLists
from nearline.features.told import ToldFeature
from nearline.features.windowed_counts import ItemCountsFeature
from nearline.pipeline.feature_set import FeatureSet
from nearline.schema.clock import DAY, HOUR, Clock, DataClock, WallClock
from nearline.schema.components import Fold, Source, Stateful
from nearline.schema.errors import NearlineError
from nearline.schema.kinds import Kinds
from nearline.schema.telling import Telling
from nearline.sources.als import AlsSource
from nearline.sources.trending import TrendingSource
from nearline.stores.catalog import Catalog
from nearline.stores.lake import Lake
from nearline.stores.log import Log
from nearline.stores.objects import FILE, open_objects
from nearline.stores.open_log import LogPlace, open_log
from nearline.stores.registry import ReleaseRegistry
from nearline.stores.releases import ReleaseStore
from nearline.stores.remote_world import RemoteWorld
from nearline.stores.snapshots import SnapshotStore
from nearline.stores.state import MemoryState
from nearline.stores.subscriber import ResultStore, SubscriberPlace, open_result_store
from nearline.stores.user_rows import RowsPlace, UserRows, open_user_rows
from nearline.stores.vector_index import Indexes, VectorPlace
from nearline.stores.world import OnlineWorld

MEMORY = "memory:"
"""Setting of visitors' rows that are in the server's own memory."""
IMPORTING = "importing.json"
"""In a tenant's folder as long as an import is not done."""


class Meta(msgspec.Struct, frozen=True):
    """What an import said of its data.

    Attributes:
        order_only: times were made from positions; time-based features and sources are off.
        anchor, since: the data's last time and the wall time when it was imported (ms UTC); 0: wall clock.
        dataset: name of what was imported.
    """

    order_only: bool = False
    anchor: int = 0
    since: int = 0
    dataset: str = ""


@dataclass(frozen=True)
class Tenant:
    """Where one tenant's data is and what it runs with.

    Args:
        app: the application.
        settings: the deployment.
        name: namespace in every path; `default` when not given.
    """

    app: App
    settings: Settings
    name: str = "default"

    @cached_property
    def folder(self) -> Path:
        """The tenant's own folder."""
        path = Path(self.settings.storage.path) / self.name
        path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def meta(self) -> Meta:
        """What the import said, as stored."""
        path = self.folder / "meta.json"
        return msgspec.json.decode(path.read_bytes(), type=Meta) if path.exists() else Meta()

    def write_meta(self, meta: Meta) -> None:
        """Store what the import said."""
        (self.folder / "meta.json").write_bytes(msgspec.json.encode(meta))

    @cached_property
    def clock(self) -> Clock:
        """The domain's clock, as the settings and the import say."""
        mode, meta = self.settings.clock.mode, self.meta
        return DataClock(meta.anchor, meta.since) if mode != "wall" and meta.anchor else WallClock()

    @cached_property
    def kinds(self) -> Kinds:
        """The event types as tables."""
        return self.app.kinds()

    @cached_property
    def parts(self) -> Components:
        """The application's components, fitted with the settings' quotas and rule values."""
        options = self.settings.components.options
        found = components(self.app, self.meta.order_only, options)
        if not self.settings.train.deep and self.app.sources is None:
            shallow = tuple(source for source in found.sources if not getattr(source, "deep", False))
            found = replace(found, sources=shallow)
        for source in found.sources:
            source.quota = self.settings.candidates.quota.get(source.name, source.quota)
            if isinstance(source, AlsSource) and self.app.sources is None and "factors" not in options.get(source.name, {}):
                source.factors = self.settings.train.embeddings
        for feature in found.features:
            if isinstance(feature, ItemCountsFeature):
                feature.ttl = self.settings.state.item_ttl_days * DAY
        if self.app.rules is None:
            values = msgspec.structs.asdict(self.settings.rules)
            if not self.settings.impressions.log:
                values["exploration"] = 0.0  # nobody would learn from it
            for rule in found.rules:
                for attribute, name in getattr(rule, "settings", {}).items():
                    setattr(rule, attribute, values[name])
        return found

    @cached_property
    def features(self) -> FeatureSet:
        """The features, what the sources said first."""
        retrieval = RetrievalFeature(tuple(source.name for source in self.parts.sources))
        told = [ToldFeature(source) for source in self.parts.sources if isinstance(source, Telling)]
        others = [f for f in self.parts.features if f.name != retrieval.name]
        return FeatureSet((retrieval, *told, *others))

    @cached_property
    def feature_set(self) -> str:
        """Hash that releases and snapshots must match."""
        return feature_set_hash(self.features.features)

    def online_world(self) -> OnlineWorld:
        """Return an empty world that follows this tenant's log, with visitors' rows and vectors where the settings say."""
        rows = None if self.settings.storage.state == MEMORY else self.user_rows(self.settings.budget.total_ms / 2000)
        world = self.world(partitions=self.settings.storage.partitions, rows=rows)
        world.indexes = self.indexes()
        return world

    def indexes(self) -> Indexes:
        """Return the indexes of vectors, where the settings say."""
        # A search that takes longer would cost the list all other sources.
        patience = self.settings.budget.candidates_ms / 1000
        return Indexes(VectorPlace(self.settings.storage.vectors, self.name, patience))

    def user_rows(self, timeout: float) -> UserRows:
        """Return the store of visitors' rows.

        Args:
            timeout: seconds that one answer may take.
        """
        return open_user_rows(self.rows_place(timeout))

    def rows_place(self, timeout: float) -> RowsPlace:
        """Return where visitors' rows are, where they are in a store; see `user_rows`."""
        url, state = self.settings.storage.state, self.settings.state
        return RowsPlace(url, self.name, state.hot_ttl_hours * HOUR, state.history_ttl_days * DAY, timeout)

    def result_store(self, timeout: float) -> ResultStore | None:
        """Return the store of published lists, `None` where none is named.

        Args:
            timeout: seconds that one answer may take.
        """
        url = self.settings.storage.results
        return open_result_store(self.subscriber_place(url, timeout)) if url else None

    def subscriber_place(self, url: str, timeout: float) -> SubscriberPlace:
        """Return where results of this tenant go, by a subscriber's URL."""
        return SubscriberPlace(url, self.folder, self.name, self.settings.publish.keep_hours * HOUR, timeout)

    def user_state(self) -> MemoryState:
        """Return an empty state of the folds of users alone, for who moves the rows of a store."""
        state = self.settings.state
        folds = [fold for fold in self._folds(self.parts.sources) if fold.entity == "user"]
        return MemoryState(
            folds, (), state.hot_ttl_hours * HOUR, state.history_ttl_days * DAY, self.settings.storage.partitions
        )

    def world(
        self, sources: tuple[Source, ...] | None = None, partitions: int = 1, rows: UserRows | None = None
    ) -> OnlineWorld:
        """Return an empty world for the application's folds; it shares no state with others.

        Args:
            sources: whose state it keeps; the tenant's own by default.
            partitions: of the log whose events it folds.
            rows: where visitors' rows are; in this world's own memory by default.
        """
        sources = self.parts.sources if sources is None else sources
        folds = self._folds(sources)
        stateful: list[Stateful] = [SuppressionLists(self.kinds), *(copy.deepcopy(part) for s in sources for part in s.state)]
        state = self.settings.state
        memory = MemoryState(
            folds, stateful, state.hot_ttl_hours * HOUR, state.history_ttl_days * DAY, partitions, rows is not None
        )
        if rows is not None:
            return RemoteWorld(memory, Catalog(memory), rows, self.app.condition_kinds, self.app.declared)
        return OnlineWorld(memory, Catalog(memory), self.app.condition_kinds, self.app.declared)

    def _folds(self, sources: tuple[Source, ...]) -> list[Fold]:
        """Return the folds of features and sources, and those that the last rungs of the ladder read."""
        return [*self.features.folds, *(fold for s in (*sources, TrendingSource()) for fold in s.folds)]

    @cached_property
    def state_set(self) -> str:
        """Hash that snapshots must match."""
        sources, state = self.parts.sources, self.settings.state
        parts = sorted(part.name for source in sources for part in source.state)
        settings = (
            state.hot_ttl_hours,
            state.history_ttl_days,
            self.settings.storage.partitions,
            self.settings.storage.state == MEMORY,
        )
        return state_hash(self._folds(sources), parts, self.app.types, settings)

    def log(self, read_only: bool = False, importing: bool = False) -> Log:
        """Open the log; where it is not shared, one process at a time may write.

        Raises:
            NearlineError: another process writes, or an import was broken off and it is not the import that asks.
            StoreUnavailableError: it can't be reached.
        """
        if not importing and (self.folder / IMPORTING).exists():
            raise NearlineError("storage.path", str(self.folder), "an import was broken off; run it again, and it goes on")
        return open_log(self.log_place(read_only))

    def log_place(self, read_only: bool = False) -> LogPlace:
        """Return where the log is."""
        storage, keep = self.settings.storage, self.settings.retention.log_days
        return LogPlace(storage.log, self.folder, self.name, storage.durability, storage.partitions, read_only, keep)

    @cached_property
    def lake(self) -> Lake:
        """The archived log."""
        storage = self.settings.storage
        return Lake(open_objects(storage.lake, Path(storage.path) / "lake"), self.name)

    @cached_property
    def releases(self) -> ReleaseStore:
        """The releases."""
        own, place = self.folder / "releases", self.settings.storage.releases
        if place == FILE:
            return ReleaseStore(own)
        return ReleaseRegistry(own, open_objects(place, own, "storage.releases"), f"{self.name}/releases")

    @cached_property
    def snapshots(self) -> SnapshotStore:
        """The snapshots of the state."""
        return SnapshotStore(self.folder / "snapshots")
