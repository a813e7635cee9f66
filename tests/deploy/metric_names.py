"""Which metrics there are, and which an expression reads."""

from __future__ import annotations

import re

from nearline.embedded.publishing.metrics import METRICS as PUBLISHER
from nearline.serving.metrics import METRICS as SERVER
from nearline.stream.metrics import METRICS as WORKER

LABELS = {one.name: {one.label} - {""} for table in (SERVER, WORKER, PUBLISHER) for one in table}
"""By metric, its own labels."""
SCRAPED = {"namespace", "fleet", "instance", "job", "component", "le"}
"""Labels that every metric has or may have, by how it is scraped."""


def unknown(expression: str, recorded: set[str]) -> set[str]:
    """Return the metrics that an expression reads and nobody exports or records, and the labels that they do not have."""
    names = set(re.findall(r"(?:fleet:)?nearline_\w+(?::\w+)?", re.sub(r'"[^"]*"', "", expression)))
    own = {re.sub(r"_(bucket|count|sum)$", "", name) if name not in LABELS else name for name in names - recorded}
    labels = {label for group in re.findall(r"\bby \(([^)]*)\)", expression) for label in re.split(r",\s*", group)}
    labels |= set(re.findall(r"(\w+)=~?\"", expression))
    known = SCRAPED.union(*(LABELS.get(name, set()) for name in own))
    return (own - LABELS.keys()) | (labels - known)
