"""The reference page of components, made from the registry, so that it can't go stale."""

from __future__ import annotations

import inspect
from typing import Any

from nearline.pipeline.discovery import discover

KINDS = (
    ("Features", "nearline.features", ("name", "columns", "read")),
    ("Sources", "nearline.sources", ("name", "fetch")),
    ("Rankers", "nearline.rankers", ("name", "fit", "score")),
    ("Filters", "nearline.rerank", ("name", "keep")),
    ("Adjustments", "nearline.rerank", ("name", "adjust")),
    ("Arrangements", "nearline.rerank", ("name", "arrange")),
)


def component_table() -> str:
    """Return the whole of `docs/reference/components.md`."""
    lines = ["# Components", "", "Found by name in their packages; a new one is one file. Each row's words are its docstring."]
    for title, package, has in KINDS:
        lines += ["", f"## {title}", "", "| name | class | what |", "| --- | --- | --- |"]
        for name, kind in sorted(discover(package, has).items()):
            lines.append(f"| `{name}` | `{kind.__name__}` | {_said(kind)} |")
            if title == "Features":
                columns = ", ".join(f"`{column}`" for column in kind().columns) or "by source"
                lines[-1] = lines[-1][:-1] + f" Columns: {columns}. |"
            if title == "Sources":
                lines[-1] = lines[-1][:-1] + f" Quota {kind().quota}. |"
    return "\n".join(lines) + "\n"


def _said(kind: type[Any]) -> str:
    text = inspect.getdoc(kind) or ""
    return " ".join(text.split("\n\n")[0].split()).replace("|", "\\|")
