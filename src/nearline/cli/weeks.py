"""`simulate --weeks`: configurations side by side, by week, as a table, a JSON report and a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from nearline.batch.metrics import Estimate
from nearline.embedded.weeks import ArmReport, Comparison, WeekReport
from nearline.schema.errors import NearlineError
from nearline.sim.chart import Panel, svg

FILES = ("report.json", "report.svg")
PANELS = (
    ("clicks per list", "clicks"),
    ("purchases per list", "purchases"),
    ("true value per list", "true_value"),
    ("coverage of the catalogue", "coverage"),
    ("Gini of exposure", "gini"),
    ("share of new items shown", "new_share"),
)


def refuse_to_overwrite(folder: Path | None) -> None:
    """Raise where the folder holds a report already.

    Raises:
        NearlineError: it does.
    """
    if folder is not None and (there := [name for name in FILES if (folder / name).exists()]):
        raise NearlineError(str(folder), there, "choose another folder, or move these files away; nothing was simulated")


def write_report(found: Comparison, folder: Path) -> None:
    """Write `report.json` and `report.svg`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILES[0]).write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2))
    (folder / FILES[1]).write_text(picture(found), encoding="utf-8")


def picture(found: Comparison) -> str:
    """Return the measures by week as SVG."""
    title = f"Simulated shop, {found.users:,} users, {found.items:,} items, seed {found.seed}"
    panels = [
        Panel(name, {arm.name: [_point(week, field) for week in arm.weeks] for arm in found.arms}) for name, field in PANELS
    ]
    return svg(title, panels)


def tell_weeks(arms: Sequence[ArmReport], out: Console) -> None:
    """Print the weeks of each configuration."""
    table = Table("", "week", "lists", *(name for name, _ in PANELS), title="Weeks of a simulated shop")
    for arm in arms:
        for week in (*arm.weeks, arm.total):
            cells = (_shown(week, field) for _, field in PANELS)
            table.add_row(arm.name, str(week.week or "all"), f"{week.lists:,}", *cells, end_section=week is arm.total)
    out.print(table)
    for arm in arms:
        sources = ", ".join(f"{name} {n:,}" for name, n in sorted(arm.served_from.items())) or "unknown"
        releases = ", ".join(arm.releases) or "none"
        out.print(f"{arm.name}: releases {releases}; {arm.errors} errors; lists from {sources}", highlight=False)


def _point(week: WeekReport, field: str) -> tuple[float, float]:
    value = getattr(week, field)
    return (value.mean, value.error) if isinstance(value, Estimate) else (value, float("nan"))


def _shown(week: WeekReport, field: str) -> str:
    value, error = _point(week, field)
    return f"{value:.4f}" if math.isnan(error) else f"{value:.4f} ± {error:.4f}"
