"""Quality on real data: `nearline evaluate` over data sets and protocols, as one markdown table.

`python -m benchmarks.quality`; the data is looked for in `../shared/data`, and what is absent is left out and
said so. `--users` limits the lists (the table says how many); figures of record want all of them. `--without-deep` leaves the
sequence model out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.table import Row, machine, say

COMMAND = "python -m benchmarks.quality"
DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
USERS = 200
"""Users asked about in a short run."""
WANTED = ("0.19", "0.205")
"""NDCG@10 of ml-1m, protocol A: at least, and hoped for."""


@dataclass(frozen=True, slots=True)
class Part:
    """One measurement: folder, protocol and what else the command gets."""

    data: str
    protocol: str
    options: tuple[str, ...] = ()

    def name(self) -> str:
        """Return what the table calls it."""
        return " ".join((f"{self.data}, {self.protocol}", *(o.lstrip("-") for o in self.options)))


PARTS = (
    *(
        part
        for data in ("ml-100k", "movietweetings-100k", "taobao-100k")
        for part in (Part(data, "B"), Part(data, "C"), Part(data, "C", ("--frozen",)))
    ),
    *(Part("taobao-100k", "C", options) for options in (("--repeats",), ("--repeats", "--frozen"))),
    *(Part("yoochoose-100k", "C", options) for options in ((), ("--frozen",), ("--repeats",))),
    # Nothing was ever tuned on trivago's.
    Part("trivago-100k", "C", ("--repeats",)),
    Part("ml-1m", "A"),
    Part("ml-1m", "A", ("--rules", "off")),
)
HEAD = (
    "data, protocol", "lists", "HR@10", "NDCG@10", "recall@10", "precision@10", "NDCG@10 of users known",
    "coverage", "Gini", "repeats", "lists/s", "p50 ms", "p99 ms", "train s", "train GB", "first list s",
)  # fmt: skip


def measure(part: Part, folder: Path, holdout: str, users: int, deep: bool) -> dict[str, Any] | None:
    """Run one; return its JSON, `None` where it failed."""
    environ = {**os.environ, "NEARLINE_TRAIN_DEEP": str(deep).lower()}
    command = [sys.executable, "-m", "nearline.cli", "evaluate", "--json"]
    command += ["--data", str(folder / part.data), "--protocol", part.protocol, "--holdout", holdout]
    done = subprocess.run([*command, "--users", str(users), *part.options], capture_output=True, text=True, env=environ)
    if done.returncode:
        say(f"{part.name()} failed: {(done.stdout + done.stderr)[-1500:]}")
        return None
    found: dict[str, Any] = json.loads(done.stdout)
    say(f"  {part.name()}: NDCG@10 {found['ndcg@10']:.4f}, {found['cases']:,} lists")
    return found


def measured(
    folder: Path, holdout: str, users: int, only: Sequence[str] = (), deep: bool = True
) -> Iterator[tuple[Part, dict[str, Any] | None]]:
    """Yield each part with what it came to."""
    for part in PARTS:
        if only and part.data not in only:
            continue
        if not (folder / part.data).is_dir():
            say(f"{part.name()} left out: there is no {folder / part.data}")
            continue
        yield part, measure(part, folder, holdout, users, deep)


def line(part: Part, found: dict[str, Any] | None) -> str:
    """Return a line of the table."""
    if found is None:
        return " | ".join([f"| {part.name()}", "failed", *[""] * (len(HEAD) - 2)]) + " |"
    means = [f"{found[name]:.4f} ± {found[f'{name}_error']:.4f}" for name in ("hr@10", "ndcg@10", "recall@10", "precision@10")]
    some = f"{found['cases']:,}"
    cells = [
        part.name(),
        some if found["cases"] == found["of_cases"] else f"{some} of {found['of_cases']:,}",
        *means,
        f"{found['known_ndcg@10']:.4f} ± {found['known_ndcg@10_error']:.4f} ({found['known_cases']:,})",
        *(f"{found[name]:.3f}" for name in ("coverage", "gini", "repeats")),
        f"{found['lists_per_second']:,.0f}",
        *(f"{found[name]:.1f}" for name in ("p50_ms", "p99_ms", "train_seconds")),
        f"{found['train_megabytes'] / 1e3:.1f}",
        f"{found['first_list_seconds']:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def run(folder: Path = DATA, users: int = USERS) -> list[Row]:
    """Return rows for the table of all benchmarks."""
    rows = []
    for part, found in measured(folder, "test", users):
        wanted, hoped = WANTED if part.data == "ml-1m" and not part.options else ("", "")
        shown = f"{found['ndcg@10']:.4f} ± {found['ndcg@10_error']:.4f}" if found else "failed"
        lists = f", {found['cases']:,} lists" if found else ""
        rows.append(Row(f"NDCG@10, {part.name()}{lists}", shown, wanted, hoped, COMMAND))
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder that holds the folders of data")
    parser.add_argument("--users", type=int, default=0, help="ask about so many users only; 0: all")
    parser.add_argument("--holdout", choices=["test", "validation"], default="test", help="the part asked about")
    parser.add_argument("--only", nargs="*", default=[], help="names of folders, such as ml-100k")
    parser.add_argument("--without-deep", action="store_true", help="without the sequence model")
    chosen = parser.parse_args()
    lines = [f"| {' | '.join(HEAD)} |", "|" + " --- |" * len(HEAD)]
    deep = not chosen.without_deep
    lines += [line(*one) for one in measured(chosen.data, chosen.holdout, chosen.users, chosen.only, deep)]
    print(f"{machine()}; {chosen.holdout} parts, asked through the API{'' if deep else ', without deep'}\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
