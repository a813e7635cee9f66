"""From a finished run to the list that a client gets and the impression that the log keeps."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from nearline.app.tenant import Tenant
from nearline.pipeline.ordering import fusion_parts
from nearline.pipeline.pipeline import Pipeline
from nearline.pipeline.run import Run
from nearline.pipeline.tracing import Tracer
from nearline.rerank.rule_effects import by_name
from nearline.schema.candidates import F32
from nearline.schema.components import Source, UserState
from nearline.schema.event import Record
from nearline.schema.query import Query
from nearline.schema.served import IMPRESSION, Explanation, Impression, Served, ServedItem
from nearline.serving.fallback import Fallback
from nearline.serving.wording import Saying, Wording, roles_of
from nearline.stores.world import OnlineWorld

_encode = msgspec.json.Encoder().encode


class Recommender:
    """Turns finished runs into lists, with the ladder of fallbacks below.

    Args:
        tenant: whose.
        world: the state that is read.
        pipeline: the one in service; assign to `pipeline` to swap.
    """

    def __init__(self, tenant: Tenant, world: OnlineWorld, pipeline: Pipeline) -> None:
        self.tenant, self.world, self.pipeline = tenant, world, pipeline
        self.fallback = Fallback(world, pipeline.filters)
        self._wording = Wording(tenant.app)

    def start(self, query: Query) -> Run:
        """Return a new run."""
        return Run(query, len(self.pipeline.sources), watch=Tracer() if query.debug else None)

    def finish(self, run: Run, pipeline: Pipeline) -> tuple[Served, Record | None]:
        """Return the list and the impression to log (`None` for debug and evaluation calls)."""
        query, catalog = run.query, self.world.catalog
        ranked, served_from = run.ranked, run.served_from
        user = run.user or self.world.hydrate(query.visitor, query.now)
        fell_back = ranked is None or len(ranked.scores) == 0
        if ranked is None or fell_back:
            gone = pipeline.breakers.shut().union(run.missing)
            ranked, served_from = self.fallback.ranked(query, user, gone, run.published)
        elif query.limits:
            self.fallback.remember(query.visitor, ranked, query.page_size, run.offset)
        n = min(query.page_size, len(ranked.scores))
        slots = ranked.candidates.items[:n].tolist()
        ids = [catalog.ids[slot] for slot in slots]
        scores = ranked.scores[:n].tolist()
        because = ranked.candidates.because[:n].tolist()
        names = pipeline.sources
        sources = [_FALLBACK] * n if fell_back else [names[s] for s in ranked.candidates.source[:n].tolist()]
        # An item is no reason for itself.
        led = [cause if cause != slot else -1 for cause, slot in zip(because, slots, strict=True)]
        explored = [] if ranked.explored is None else np.flatnonzero(ranked.explored[:n]).tolist()
        sayings: list[Saying] = list(sources)
        for place in explored:
            sayings[place], led[place] = _EXPLORED, -1
        reasons = self.reasons(sayings, led, slots, user, query.locale)
        if query.explain or query.debug:
            reasons = _shared(reasons, ranked.candidates.ranks[:n], names)
        items = [
            ServedItem(
                ids[i],
                i + 1,
                scores[i],
                reasons[i],
                catalog.items.fragment(slots[i]),
                sources[i].name,
            )
            for i in range(n)
        ]
        if ranked.labels is not None:
            labels = ranked.labels[:n].tolist()
            items = [msgspec.structs.replace(item, label=label) for item, label in zip(items, labels, strict=True)]
        # Whoever answers the list says so with its id: where it was shown is then known without a join.
        request_id = f"{secrets.token_hex(12)}-{query.surface}"
        trace = self._trace(run, pipeline, slots) if query.debug else None
        served = Served(
            request_id,
            items,
            pipeline.release or "none",
            served_from,
            run.offset,
            tuple(run.missing),
            trace,
        )
        if not query.log or query.debug or not self.tenant.settings.impressions.log:
            return served, None
        features: list[list[float | None]] = []
        whole = not any(name.startswith("feature:") for name in run.missing)
        if self.tenant.settings.impressions.features and run.matrix is not None and whole and not fell_back:
            features = run.matrix[:, :n].T.astype(float).tolist()
        impression = Impression(
            ids,
            scores,
            [source.name for source in sources],
            query.now,
            run.offset if run.exact else -1 - run.offset,
            query.surface,
            pipeline.release,
            served_from,
            query.variant,
            query.device,
            [] if ranked.propensities is None else ranked.propensities[:n].tolist(),
            features,
            list(query.cart),
            query.location,
            [place + 1 for place in explored],
            query.page,
            query.row,
        )
        record = Record(
            request_id,
            IMPRESSION,
            query.user_id,
            query.item_id,
            query.now,
            query.now,
            query.session_id,
            request_id,
            query.surface,
            device=query.device,
            context=_encode(impression).decode(),
        )
        return served, record

    def title(self, slot: int) -> str:
        """Return an item's title, or its id where it has none; "" for no item."""
        item_id = self.world.catalog.ids[slot] if slot >= 0 else ""
        item = self.world.catalog.items.get(item_id)
        return item.title if item is not None and item.title else item_id

    def reasons(
        self, sources: Sequence[Saying], because: Sequence[int], slots: Sequence[int], user: UserState, locale: str
    ) -> list[Explanation]:
        """Return why each item is there: its source's words, with the item that led there and what the visitor did with it."""
        catalog, words = self.world.catalog, self._wording.of(locale)
        led: dict[int, tuple[int, str, str]] = {-1: (0, "", "")}
        keys = {slot: int(catalog.columns.key[slot]) for slot in set(because) if slot >= 0 and catalog.ids[slot]}
        roles = roles_of(user.rows, set(keys.values()))
        for slot, key in keys.items():
            led[slot] = roles.get(key, 0), catalog.ids[slot], self.title(slot)
        reasons = [words.explain(source, *led.get(slot, led[-1])) for source, slot in zip(sources, because, strict=True)]
        for place, source in enumerate(sources):
            says = getattr(source, "says", None)
            if says is not None and (own := says(slots[place])):
                reasons[place] = Explanation(source.reason, own)
        return reasons

    def _trace(self, run: Run, pipeline: Pipeline, slots: Sequence[int]) -> dict[str, Any]:
        ids = self.world.catalog.ids
        trace: dict[str, Any] = dict(run.trace)
        trace["filters"] = {name: [ids[slot] for slot in gone.tolist()] for name, gone in run.trace.get("filters", {}).items()}
        trace["candidates"] = 0 if run.candidates is None else len(run.candidates)
        trace["rules"] = by_name(run.user)
        trace["milliseconds"] = {stage: round(seconds * 1e3, 3) for stage, seconds in run.times.items()}
        if isinstance(run.watch, Tracer):
            left = {snapshot.step: len(snapshot.items) for snapshot in run.watch.snapshots}
            trace["steps"] = [
                {"step": step, "milliseconds": round(seconds * 1e3, 3), "left": left.get(step)}
                for step, seconds in run.watch.seconds.items()
            ]
        if run.matrix is not None:
            names = pipeline.features.names
            trace["features"] = {
                ids[slot]: {name: float(value) for name, value in zip(names, column, strict=True) if np.isfinite(value)}
                for slot, column in zip(slots, run.matrix[:, : len(slots)].T, strict=True)
            }
        return trace


def _shared(reasons: Sequence[Explanation], ranks: F32, sources: Sequence[Source]) -> list[Explanation]:
    """Return the reasons with each source's part of the reciprocal rank fusion, `ranks` as in `Candidates`."""
    parts = fusion_parts(ranks)
    return [
        msgspec.structs.replace(
            reason, retrieval_shares={sources[s].name: round(float(row[s]), 4) for s in np.flatnonzero(row).tolist()}
        )
        for reason, row in zip(reasons, parts, strict=True)
    ]


class _FallbackSource:
    name, reason, template = "fallback", "trending", "Trending now"


_FALLBACK = _FallbackSource()


class _Explored:
    name, reason, template = "exploration", "exploration", "Something new for you"


_EXPLORED = _Explored()
