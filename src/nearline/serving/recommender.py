"""From a finished run to the list that a client gets and the impression that the log keeps."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from nearline.app.tenant import Tenant
from nearline.pipeline.pipeline import Pipeline
from nearline.pipeline.run import Run
from nearline.schema.event import Record
from nearline.schema.query import Query
from nearline.schema.served import Explanation, Impression, Served, ServedItem
from nearline.serving.fallback import Fallback
from nearline.stores.world import OnlineWorld

IMPRESSION = "$impression"
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

    def start(self, query: Query) -> Run:
        """Return a new run."""
        return Run(query, len(self.pipeline.sources))

    def finish(self, run: Run, pipeline: Pipeline) -> tuple[Served, Record | None]:
        """Return the list and the impression to log (`None` for debug and evaluation calls)."""
        query, catalog = run.query, self.world.catalog
        ranked, served_from = run.ranked, run.served_from
        user = run.user or self.world.hydrate(query.visitor, query.now)
        fell_back = ranked is None or len(ranked.scores) == 0
        if ranked is None or fell_back:
            ranked, served_from = self.fallback.ranked(query, user, pipeline.breakers.shut().union(run.missing))
        elif query.limits:
            self.fallback.remember(query.visitor, ranked, query.page_size, run.offset)
        n = min(query.page_size, len(ranked.scores))
        slots = ranked.candidates.items[:n].tolist()
        ids = [catalog.ids[slot] for slot in slots]
        scores = ranked.scores[:n].tolist()
        because = ranked.candidates.because[:n].tolist()
        names = pipeline.sources
        sources = [_FALLBACK] * n if fell_back else [names[s] for s in ranked.candidates.source[:n].tolist()]
        items = [
            ServedItem(
                ids[i],
                i + 1,
                scores[i],
                self._explain(sources[i], because[i]),
                catalog.fragments[slots[i]],
                sources[i].name,
            )
            for i in range(n)
        ]
        if ranked.labels is not None:
            labels = ranked.labels[:n].tolist()
            items = [msgspec.structs.replace(item, label=label) for item, label in zip(items, labels, strict=True)]
        request_id = secrets.token_hex(12)
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

    def _explain(self, source: Any, because: int) -> Explanation:
        catalog = self.world.catalog
        if because < 0 or not (source_id := catalog.ids[because]):
            return Explanation(source.reason, source.template if "{" not in source.template else "Picked for you")
        item = catalog.items.get(source_id)
        title = item.title if item is not None and item.title else source_id
        return Explanation(source.reason, source.template.replace("{title}", title), source_id)

    def _trace(self, run: Run, pipeline: Pipeline, slots: Sequence[int]) -> dict[str, Any]:
        ids = self.world.catalog.ids
        trace: dict[str, Any] = dict(run.trace)
        trace["filters"] = {name: [ids[slot] for slot in gone.tolist()] for name, gone in run.trace.get("filters", {}).items()}
        trace["candidates"] = 0 if run.candidates is None else len(run.candidates)
        trace["milliseconds"] = {stage: round(seconds * 1e3, 3) for stage, seconds in run.times.items()}
        if run.matrix is not None:
            names = pipeline.features.names
            trace["features"] = {
                ids[slot]: {name: float(value) for name, value in zip(names, column, strict=True) if np.isfinite(value)}
                for slot, column in zip(slots, run.matrix[:, : len(slots)].T, strict=True)
            }
        return trace


class _FallbackSource:
    name, reason, template = "fallback", "trending", "Trending now"


_FALLBACK = _FallbackSource()
