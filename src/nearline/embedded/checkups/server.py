"""The server, by its metrics: what is behind, what fails, what is late."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nearline.stores.finding import Finding

if TYPE_CHECKING:
    from nearline.embedded.doctor import System

LAG = 10_000
"""Events that the state may be behind the log."""
LATE = 0.05
"""Share of lists that may be less than whole."""


def look(system: System) -> Iterator[Finding]:
    """Yield what the server's numbers say."""
    server = system.server
    if server is None:
        yield Finding("ok", "server", "none answers; what is stored was looked at", "", "")
        return
    lag = server.value("nearline_log_lag_events")
    if lag > LAG:
        remedy = "look for a slow disk or broker, or a processor that is too busy; other work belongs on another machine"
        yield Finding("warning", "lag of the state", f"{lag:,.0f} events", "lists don't see the newest clicks", remedy)
    else:
        yield Finding("ok", "lag of the state", f"{lag:,.0f} events")
    broken = {name: count for name, count in server.by_label("nearline_component_errors_total").items() if count}
    if broken:
        worst = ", ".join(f"{name} {count:,.0f} times" for name, count in sorted(broken.items())[:6])
        remedy = "the server's log has their tracebacks; a request with debug=true shows them in its trace"
        yield Finding("wrong", "components that raised", worst, "lists are made without them", remedy)
    lists = server.by_label("nearline_lists_total")
    total, whole = sum(lists.values()), lists.get("ranker", 0.0)
    if total >= 100 and total - whole > LATE * total:
        remedy = "see nearline_stage_seconds for the stage that is late; raise its budget, or give the server more processor"
        value = f"{1 - whole / total:.1%} of {total:,.0f} are not from the ranker"
        yield Finding("warning", "lists", value, "they are made by less than the model could", remedy)
    if server.value("nearline_train_last_failed"):
        remedy = "run nearline train by hand: it says why; nearline releases shows what is in service"
        yield Finding("wrong", "training", "the last one failed or was refused", "releases grow old", remedy)
    if lost := server.value("nearline_impressions_lost_total"):
        remedy = "see the server's log for why the log did not take them"
        yield Finding("warning", "impressions", f"{lost:,.0f} lost", "training does not know those lists", remedy)
