"""Writes deploy/kubernetes from the chart, without helm.

The chart keeps to what is rendered here: names, `toJson`, and `if` and `else` on lines of their own.

python deploy/render.py            # with the chart's values
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parent / "helm" / "nearline"
PLAIN = Path(__file__).parent / "kubernetes"
NAME = r"\.[A-Z][\w.]*"


def values(**given: Any) -> dict[str, Any]:
    """Return what templates read: the chart's values, with some of them replaced (by section)."""
    found: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    for name, value in given.items():
        found[name] = {**found[name], **value} if isinstance(value, dict) else value
    return {"Values": found, "Release": {"Name": "nearline"}}


def rendered(text: str, read: dict[str, Any]) -> str:
    """Return a template's text.

    Raises:
        ValueError: it holds what is not rendered here, or names what there is not.
    """
    out: list[str] = []
    taken: list[bool] = []
    for line in text.splitlines(keepends=True):
        if found := re.fullmatch(rf"\{{\{{- if ({NAME}) \}}\}}\n?", line):
            taken.append(bool(_look_up(found[1], read)))
        elif line.strip() == "{{- else }}":
            taken[-1] = not taken[-1]
        elif line.strip() == "{{- end }}":
            taken.pop()
        elif all(taken):
            out.append(_line(line, read))
    if taken:
        raise ValueError("an if has no end")
    return "".join(out)


def _line(line: str, read: dict[str, Any]) -> str:
    line = re.sub(rf"\{{\{{ toJson ({NAME}) \}}\}}", lambda m: json.dumps(_look_up(m[1], read), sort_keys=True), line)
    line = re.sub(rf"\{{\{{ ({NAME}) \}}\}}", lambda m: str(_look_up(m[1], read)), line)
    if "{{" in line:
        raise ValueError(f"this is not rendered here: {line.strip()}")
    return line


def _look_up(name: str, read: Any) -> Any:
    for part in name.strip(".").split("."):
        if part not in read:
            raise ValueError(f"there is no {name}")
        read = read[part]
    return read


def manifests(read: dict[str, Any]) -> dict[str, str]:
    """Return the text of each file of manifests."""
    return {path.name: rendered(path.read_text(), read) for path in sorted((CHART / "templates").glob("*.yaml"))}


if __name__ == "__main__":
    PLAIN.mkdir(exist_ok=True)
    for name, text in manifests(values()).items():
        head = "# Made from deploy/helm/nearline by deploy/render.py. Change secret, data and image before you apply it.\n"
        (PLAIN / name).write_text(head + text)
