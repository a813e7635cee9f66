"""What each source and each family of features is worth: the ranker taught and judged without it, on the same lists.

`python -m benchmarks.ablation --data ../shared/data/ml-1m`. Examples and later lists are those of `benchmarks.lessons`.
Without a source means: candidates that it alone found are gone, and so are its columns. Differences are paired, list by list.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.bars import Bar, picture
from benchmarks.lessons import Lessons, lessons
from benchmarks.table import machine, say
from nearline.app.defaults import default_features
from nearline.rankers.trees import TreesRanker

COMMAND = "python -m benchmarks.ablation"
K = 10
Bools = NDArray[np.bool_]


def families(names: list[str]) -> dict[str, list[str]]:
    """Return the columns of each feature by its name; what sources say and tell are families of their own."""
    sources = [name.removesuffix("_rank") for name in names if name.endswith("_rank")]
    owner = {column: feature.name for feature in default_features() for column in feature.columns}
    out: dict[str, list[str]] = {}
    for name in names:
        teller = next((s for s in sorted(sources, key=len, reverse=True) if name.startswith(f"{s}_")), "")
        said = name == "sources" or (teller and name.removeprefix(f"{teller}_") in ("score", "rank"))
        family = "retrieval" if said else owner.get(name) or f"{teller} told"
        out.setdefault(family, []).append(name)
    return out


def without_columns(own: Lessons, gone: list[str]) -> Lessons:
    """Return lessons that lack columns."""
    names = list(own.taught.features)
    kept = [place for place, name in enumerate(names) if name not in gone]
    taught = replace(own.taught, x=np.ascontiguousarray(own.taught.x[:, kept]), features=[names[place] for place in kept])
    return replace(own, taught=taught, x=np.ascontiguousarray(own.x[:, kept]))


def without_source(own: Lessons, source: str) -> Lessons:
    """Return lessons as they would be if a source had found and said nothing."""
    names = list(own.taught.features)
    ranks = [place for place, name in enumerate(names) if name.endswith("_rank") and name != f"{source}_rank"]
    taught, kept = own.taught, (own.x[:, ranks] > 0).any(1)
    fine = (taught.x[:, ranks] > 0).any(1)
    # A list whose target it alone had found teaches nothing any more.
    fine &= np.isin(taught.group, taught.group[fine & taught.y.any(1)])
    left = replace(taught, x=taught.x[fine], y=taught.y[fine], weight=taught.weight[fine], group=taught.group[fine])
    smaller = replace(own, taught=left, x=own.x[kept], group=own.group[kept], target=own.target[kept], fusion=own.fusion[kept])
    return without_columns(smaller, [name for name in names if name.startswith(f"{source}_")])


def worth(own: Lessons, seed: int) -> NDArray[np.float64]:
    """Return NDCG@10 by list, `[n_lists]`; 0 where the target is not among the candidates."""
    ranker = TreesRanker()
    ranker.load(ranker.fit(own.taught, seed))
    scores = ranker.score(np.ascontiguousarray(own.x.T))[0]
    out = np.zeros(own.lists)
    mine = np.full(own.lists, np.inf, np.float32)
    mine[own.group[own.target]] = scores[own.target]
    above = np.bincount(own.group, (scores > mine[own.group]) + 0.5 * ((scores == mine[own.group]) & ~own.target), own.lists)
    found = np.isfinite(mine) & (above < K)
    out[found] = 1 / np.log2(above[found] + 2)
    return out


def ablated(own: Lessons, seed: int) -> Iterator[tuple[str, str, NDArray[np.float64], int]]:
    """Yield kind, name, NDCG by list without it, and how many columns or candidates went."""
    names = list(own.taught.features)
    for family, columns in families(names).items():
        yield "feature", family, worth(without_columns(own, columns), seed), len(columns)
    for name in names:
        if name.endswith("_rank") and own.x[:, names.index(name)].any():
            less = without_source(own, name.removesuffix("_rank"))
            yield "source", name.removesuffix("_rank"), worth(less, seed), len(own.x) - len(less.x)


def main() -> None:
    """Print a table a data set."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders that `nearline import` knows")
    parser.add_argument("--lists", type=int, default=6_000, help="later lists to judge by")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "nearline-ablation", help="for examples")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--picture", type=Path, help="where to draw it, as SVG")
    options = parser.parse_args()
    for data in options.data:
        own = lessons(data, options.cache, most=options.lists)
        whole = worth(own, options.seed)
        error = whole.std() / len(whole) ** 0.5
        print(f"{data.name}: NDCG@10 {whole.mean():.4f} ± {error:.4f} on {own.lists:,} later lists; {machine()}\n")
        print("| without | columns, or candidates a list | NDCG@10 | difference |\n| --- | --- | --- | --- |")
        bars: list[Bar] = []
        for kind, name, found, gone in ablated(own, options.seed):
            less = found - whole
            bars.append((kind, name, float(less.mean()), float(less.std() / len(less) ** 0.5)))
            many = gone if kind == "feature" else f"{gone / own.lists:.0f} candidates"
            print(
                f"| {kind} `{name}` | {many} | {found.mean():.4f} | {less.mean():+.4f} ± {less.std() / len(less) ** 0.5:.4f} |",
                flush=True,
            )
            say(f"  {kind} {name}")
        if options.picture:
            title = f"{data.name}: NDCG@10 without a source, or a family of features"
            bars.sort(key=lambda bar: bar[2])
            options.picture.write_text(picture(title, f"difference to {whole.mean():.4f} (line: one standard error)", bars))
        print()


if __name__ == "__main__":
    main()
