"""What a choice of arguments is worth: on data sets by their protocols, or on a tenant's own last days."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from nearline.app.sections import Settings
from nearline.app.tenant import Tenant
from nearline.batch.training import train
from nearline.batch.tuning import Chosen, Worth
from nearline.embedded.evaluation import Plan, evaluate
from nearline.schema.errors import NearlineError

NOTHING = Worth(0.0, 0.0)
"""Of a choice whose release is refused."""


class DataWorth:
    """NDCG@10 on the validation parts of data sets, relative to what the first choice had there, on average.

    So each data set counts the same, however hard it is.

    Args:
        plans: data and protocols; their validation parts are asked about.
        base: settings that the choice is put into.
    """

    def __init__(self, plans: Sequence[Plan], base: Settings) -> None:
        self._plans = [replace(plan, holdout="validation", offline=True) for plan in plans]
        self._base = base
        self._first: list[float] = []

    def __call__(self, chosen: Chosen) -> Worth:
        """Return the mean of the ratios, 1 for the first choice, and its standard error."""
        found = [self._measure(plan, chosen) for plan in self._plans]
        if not self._first:
            self._first = [max(worth.mean, 1e-9) for worth in found]
        pairs = list(zip(found, self._first, strict=True))
        error = sum((worth.error / first) ** 2 for worth, first in pairs) ** 0.5
        return Worth(sum(worth.mean / first for worth, first in pairs) / len(pairs), error / len(pairs))

    def on_others(self) -> DataWorth:
        """Return the same, asked about other users: the best of many choices is partly luck with those it was chosen by."""
        return DataWorth([replace(plan, seed=plan.seed + 1) for plan in self._plans], self._base)

    def _measure(self, plan: Plan, chosen: Chosen) -> Worth:
        with tempfile.TemporaryDirectory(prefix="nearline-") as folder:
            try:
                report = evaluate(plan, Path(folder), with_options(self._base, chosen))
            except NearlineError as error:
                if error.field == "training":
                    return NOTHING
                raise
        return Worth(report.ndcg.mean, report.ndcg.error)


class TenantWorth:
    """NDCG@10 on a tenant's last days, as training judges a release by; nothing is published.

    Args:
        tenant: whose log is read.
    """

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant

    def __call__(self, chosen: Chosen) -> Worth:
        """Return the NDCG@10 and its standard error."""
        tenant = self._tenant
        own = Tenant(copy.deepcopy(tenant.app), with_options(tenant.settings, chosen), tenant.name)
        metrics = train(own, publish=False).manifest.metrics.get("release")
        return Worth(metrics["ndcg@10"], metrics["ndcg@10_error"]) if metrics else NOTHING


def with_options(settings: Settings, chosen: Chosen) -> Settings:
    """Return settings with a choice put over their own options."""
    options = {name: {**settings.components.options.get(name, {}), **values} for name, values in chosen.items()}
    merged = {**settings.components.options, **options}
    return msgspec.structs.replace(settings, components=msgspec.structs.replace(settings.components, options=merged))
