"""Verifying: features recomputed by replay against the vectors that were served, exactly."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np

from nearline.app.tenant import Tenant
from nearline.batch.replaying import Moment, replay
from nearline.features.told import ToldFeature
from nearline.pipeline.feature_set import FeatureSet
from nearline.schema.candidates import Candidates
from nearline.schema.clock import HOUR
from nearline.schema.components import ReadContext
from nearline.schema.errors import NearlineError
from nearline.schema.event import POISON
from nearline.schema.ids import keys
from nearline.schema.served import Impression
from nearline.stores.history import iter_records
from nearline.stores.log import Log
from nearline.stores.timeline import timeline


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """How many served vectors were compared, and what differed.

    Attributes:
        lists, values: compared.
        skipped: lists served while a batch was being folded, which have no one offset.
        differing: feature name to number of values that differ.
    """

    lists: int
    values: int
    skipped: int
    differing: dict[str, int]

    @property
    def equal(self) -> bool:
        """Whether nothing differed."""
        return not self.differing

    def text(self) -> str:
        """Return the report as a sentence."""
        verdict = "all equal" if self.equal else f"differing: {self.differing}"
        return f"{self.lists:,} lists, {self.values:,} values compared ({self.skipped} lists skipped): {verdict}"


def verify(tenant: Tenant, log: Log) -> VerifyReport:
    """Recompute every logged vector from lake and log; what the sources said is taken as logged.

    Raises:
        NearlineError: the log is divided, so that no one offset says what a list had seen.
    """
    shown: list[tuple[Moment, Impression]] = []
    skipped = 0
    if log.partitions > 1:
        remedy = "lists of a divided log were made between the offsets of many partitions; verify one with a single partition"
        raise NearlineError("storage.partitions", log.partitions, remedy)
    for _, records in iter_records(log, tenant.lake, "feedback"):
        for record in records:
            if record.event_type == POISON:
                continue
            impression = msgspec.json.decode(record.context, type=Impression)
            if not impression.features:
                continue
            if impression.offset < 0:
                skipped += 1
                continue
            shown.append((Moment(impression.offset, impression.query(record), len(shown)), impression))
    world = tenant.world()
    world.adopt(iter_records(log, tenant.lake, "item_events"))
    events = timeline(log, tenant.lake, tenant.kinds, tenant.settings.state.dedupe_hours * HOUR).events
    features = tenant.features
    # What sources say is a release's, not the log's: it comes first, and no replay has it.
    told = [rows.stop for feature, rows in features if feature.name == "retrieval" or isinstance(feature, ToldFeature)]
    given, replayed = max(told), FeatureSet([f for f in features.features if not isinstance(f, ToldFeature)])
    skip = replayed.slices[0].stop
    differing: dict[str, int] = {}
    values = 0
    moments = sorted((moment for moment, _ in shown), key=lambda moment: moment.offset)
    for moment in replay(world, events, moments):
        impression = shown[moment.label][1]
        served = np.asarray(impression.features, np.float32).T
        slots = world.item_slots(keys(impression.items))
        n = len(slots)
        blank = np.zeros((n, len(tenant.parts.sources)), np.float32)
        candidates = Candidates(slots, blank, blank, np.zeros(n, np.int32), np.full(n, -1, np.int32))
        user = world.hydrate(moment.query.visitor, moment.query.now)
        ours = replayed.read(ReadContext(moment.query, user, candidates, world.rows, world.columns))[skip:]
        theirs = served[given:]
        same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
        for row in np.flatnonzero(~same.all(axis=1)).tolist():
            name = features.names[given + row]
            differing[name] = differing.get(name, 0) + int((~same[row]).sum())
        values += int(same.size)
    return VerifyReport(len(shown), values, skipped, differing)
