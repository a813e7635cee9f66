"""Binding: an application's components become a pipeline over one world and one release."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from nearline.app.tenant import Tenant
from nearline.pipeline.breaker import Breakers
from nearline.pipeline.budget import Limits
from nearline.pipeline.pipeline import Pipeline
from nearline.rankers.logistic import LogisticRanker
from nearline.schema.components import Adjustment, Arrangement, Arrays, Filter, Ranker
from nearline.stores.world import OnlineWorld


def limits_of(tenant: Tenant) -> Limits:
    """Return the budget of the settings, in seconds."""
    budget, candidates = tenant.settings.budget, tenant.settings.candidates
    return Limits(
        budget.total_ms / 1e3,
        budget.candidates_ms / 1e3,
        budget.features_ms / 1e3,
        budget.ranking_ms / 1e3,
        budget.rules_ms / 1e3,
        candidates.limit,
        candidates.ranked,
    )


def build_pipeline(
    tenant: Tenant,
    world: OnlineWorld,
    arrays: Mapping[str, Arrays],
    version: str = "",
    breakers: Breakers | None = None,
) -> Pipeline:
    """Return a pipeline bound to a world and to a release's arrays; streamed state is shared with earlier pipelines.

    Args:
        arrays: by component; `{}` before the first release.
        version: of the release, "" for none.
    """
    sources = [copy.copy(source) for source in tenant.parts.sources]
    for source in sources:
        source.bind(world, arrays.get(source.name, {}))
    ranker: Ranker | None = None
    light: Ranker | None = None
    if tenant.parts.ranker.name in arrays:
        ranker, light = copy.copy(tenant.parts.ranker), LogisticRanker()
        ranker.load(arrays[ranker.name])
        light.load(arrays[light.name])
    filters: list[Filter] = []
    adjustments: list[Adjustment] = []
    arrangements: list[Arrangement] = []
    for rule in tenant.parts.rules:
        rule.bind(world)
        if isinstance(rule, Filter):
            filters.append(rule)
        elif isinstance(rule, Adjustment):
            adjustments.append(rule)
        else:
            arrangements.append(rule)
    # What draws by chance knows its probabilities only of the list as it will be shown.
    arrangements.sort(key=lambda rule: getattr(rule, "last", False))
    budget = tenant.settings.budget
    pipeline = Pipeline(
        world,
        sources,
        tenant.features,
        ranker,
        light,
        filters,
        adjustments,
        arrangements,
        tenant.app.outcome_weights(),
        limits_of(tenant),
        breakers or Breakers(budget.breaker_failures, budget.breaker_seconds),
        version,
        tenant.settings.candidates.surfaces,
    )
    pipeline.keep_matrix = tenant.settings.impressions.features
    return pipeline
