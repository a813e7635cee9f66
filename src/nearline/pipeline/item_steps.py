"""The steps of the item block."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nearline.pipeline.feature_set import FeatureSet
from nearline.pipeline.item_block import ItemBlock
from nearline.pipeline.run import Run
from nearline.pipeline.steps import Step, has_candidates, has_stale
from nearline.schema.clock import MINUTE
from nearline.schema.components import ItemFeature, World


def item_steps(world: World, features: FeatureSet) -> list[Step]:
    """Return the steps of the item block: gather, read anew what is stale (each item feature its own step), publish."""
    begin = features.items_from
    items = [(feature, rows) for feature, rows in features if isinstance(feature, ItemFeature)]
    if not items:
        return []
    block = ItemBlock(world, len(features) - begin)
    names = frozenset(f"feature:{feature.name}" for feature, _ in items)

    def gather(run: Run) -> None:
        assert run.candidates is not None
        assert run.matrix is not None
        run.refresh = block.gather(run.candidates.items, run.query.now // MINUTE * MINUTE, run.matrix[begin:])

    def read(feature: ItemFeature, rows: slice) -> Callable[[Run], None]:
        def act(run: Run) -> None:
            assert run.refresh is not None
            out = run.refresh.columns[rows.start - begin : rows.stop - begin]
            try:
                feature.read_items(world.rows, world.columns, run.refresh.slots, run.refresh.now, out)
            except Exception:
                out[:] = np.nan
                raise

        return act

    def publish(run: Run) -> None:
        assert run.refresh is not None
        assert run.matrix is not None
        block.publish(run.refresh, run.matrix[begin:], keep=names.isdisjoint(run.missing))

    steps = [Step("features", "gather", gather, core=True, wanted=has_candidates)]
    for feature, rows in items:
        steps.append(Step("features", f"feature:{feature.name}", read(feature, rows), wanted=has_stale))
    return [*steps, Step("features", "publish", publish, core=True, wanted=has_stale)]
