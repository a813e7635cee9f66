"""Quality against time: rankers taught by the same examples, judged by the same later lists, timed on 1,000 candidates.

`python -m benchmarks.rankers --data ../shared/data/ml-1m ../shared/data/yoochoose-100k --peers .../python`. Examples are
those of a training (see `benchmarks.lessons`); lists to judge by hold every candidate that the sources found, and a list
without the item that came next counts as 0. LightGBM and CatBoost are peers, asked in an environment of their own, whose
Python `--peers` names.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.lessons import Lessons, lessons
from benchmarks.scatter import Chart, Point, picture
from benchmarks.table import machine, say
from nearline.batch.metrics import Estimate, estimate
from nearline.batch.reliability import Reliability, reliability
from nearline.rankers.cross import CrossRanker
from nearline.rankers.logistic import LogisticRanker
from nearline.rankers.network import NetworkRanker
from nearline.rankers.networks import Shape
from nearline.rankers.trees import TreesRanker
from nearline.schema.candidates import F32
from nearline.schema.components import Arrays, Examples, Ranker

COMMAND = "python -m benchmarks.rankers"
CANDIDATES, REPEATS, K = 1_000, 300, 10
PEERS = Path(__file__).with_name("ranker_peers.py")


class Finding(msgspec.Struct, frozen=True):
    """What one ranker came to; `micros` is the median for 1,000 candidates on one core."""

    name: str
    ndcg: Estimate
    auc: Estimate
    calibration: Reliability
    micros: float
    train_seconds: float


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores of all later rows, with what making them took."""

    scores: F32
    micros: float
    train_seconds: float


class Quantised(NetworkRanker):
    """The same network with weights in eight bits."""

    name = "network int8"
    default = False

    def fit(self, examples: Examples, seed: int) -> Arrays:
        """Return the quantised model."""
        from onnxruntime.quantization import QuantType, quantize_dynamic

        with tempfile.TemporaryDirectory() as folder:
            whole, small = Path(folder) / "whole.onnx", Path(folder) / "small.onnx"
            whole.write_bytes(super().fit(examples, seed)["model"].tobytes())
            quantize_dynamic(whole, small, weight_type=QuantType.QInt8)
            return {"model": np.fromfile(small, np.uint8)}


def distilled(examples: Examples, teacher: Ranker, hard: bool) -> Examples:
    """Return examples whose labels are what a teacher says; with `hard`, as rows of label 1 and 0 of such weights."""
    soft = teacher.score(np.ascontiguousarray(examples.x.T)).T
    if not hard:
        return replace(examples, y=soft)
    twice = np.repeat(np.arange(len(soft)), 2)
    yes = np.arange(len(twice)) % 2 == 0
    weight = examples.weight[twice] * np.where(yes, soft[twice, 0], 1 - soft[twice, 0])
    y = np.zeros((len(twice), soft.shape[1]), np.float32)
    y[yes] = 1.0
    return replace(examples, x=examples.x[twice], y=y, weight=weight.astype(np.float32), group=examples.group[twice])


def scored(ranker: Ranker, examples: Examples, own: Lessons, seed: int) -> Scored:
    """Teach a ranker, let it score, and time it."""
    began = time.perf_counter()
    ranker.load(ranker.fit(examples, seed))
    seconds = time.perf_counter() - began
    columns = np.ascontiguousarray(own.x.T)
    probe = np.ascontiguousarray(columns[:, :CANDIDATES])
    return Scored(ranker.score(columns)[0], timed(lambda: ranker.score(probe)), seconds)


def timed(act: Callable[[], object]) -> float:
    """Return median microseconds."""
    taken = []
    for _ in range(REPEATS + 20):
        began = time.perf_counter()
        act()
        taken.append(time.perf_counter() - began)
    return float(np.median(taken[20:])) * 1e6


def judged(name: str, own: Lessons, found: Scored) -> Finding:
    """Return quality by list."""
    starts = np.flatnonzero(np.diff(own.group, prepend=-1))
    ndcg, auc = [], []
    for begin, end in zip(starts, np.append(starts[1:], len(own.group)), strict=True):
        scores, target = found.scores[begin:end], own.target[begin:end]
        if not target.any():
            ndcg.append(0.0)
            continue
        mine = scores[target][0]
        above = float((scores > mine).sum() + ((scores == mine).sum() - 1) / 2)
        ndcg.append(1 / np.log2(above + 2) if above < K else 0.0)
        auc.append(1 - above / max(1, len(scores) - 1))
    whole = np.isin(own.group, np.unique(own.group[own.target]))
    calibration = reliability(found.scores[whole], own.target[whole], bins=12)
    return Finding(name, estimate(ndcg), estimate(auc), calibration, found.micros, found.train_seconds)


def ours(own: Lessons, seed: int) -> list[tuple[str, Scored]]:
    """Return each of this project's rankers, and distilled ones."""
    rankers: dict[str, Ranker] = {
        "logistic": LogisticRanker(),
        "trees 30": TreesRanker(trees=30, depth=5, learning_rate=0.3),
        "trees 120": TreesRanker(),
        "trees 400": TreesRanker(trees=400, learning_rate=0.06),
        "trees 120 listwise": TreesRanker("listwise"),
        "network 32-16": NetworkRanker(Shape(hidden=(32, 16))),
        "network 128-64-32": NetworkRanker(),
        "network 128-64-32 int8": Quantised(),
        "deep & cross": CrossRanker(),
    }
    out = []
    for name, ranker in rankers.items():
        out.append((name, scored(ranker, own.taught, own, seed)))
        say(f"  {name}")
    trees, network = rankers["trees 120"], rankers["network 128-64-32"]
    out.append(("trees 400 to network 32-16", scored(
        NetworkRanker(Shape(hidden=(32, 16), dropout=0)), distilled(own.taught, rankers["trees 400"], False), own, seed
    )))  # fmt: skip
    out.append(("network to trees 120", scored(TreesRanker(), distilled(own.taught, network, True), own, seed)))
    columns = np.ascontiguousarray(own.x.T)
    probe = np.ascontiguousarray(columns[:, :CANDIDATES])

    def both(x: F32) -> F32:
        p = np.clip(np.stack([trees.score(x)[0], network.score(x)[0]]), 1e-7, 1 - 1e-7)
        mean = np.log(p / (1 - p)).mean(0)
        return np.asarray(1 / (1 + np.exp(-mean)), np.float32)

    seconds = sum(found.train_seconds for name, found in out if name in ("trees 120", "network 128-64-32"))
    out.append(("trees 120 + network", Scored(both(columns), timed(lambda: both(probe)), seconds)))
    return out


def peers(own: Lessons, python: Path) -> list[tuple[str, Scored]]:
    """Return LightGBM and CatBoost, fitted and timed in another environment."""
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "given.npz", Path(folder) / "made.npz"
        taught = own.taught
        lists = np.unique(taught.group)
        apart = (np.random.default_rng(7).random(len(lists)) < 0.1)[np.searchsorted(lists, taught.group)]
        np.savez(given, x=taught.x, y=taught.y[:, 0], weight=taught.weight, group=taught.group, apart=apart, later=own.x)
        one_core = dict(os.environ) | {"OMP_NUM_THREADS": "1"}
        subprocess.run([python, PEERS, given, made], check=True, env=one_core)
        found = np.load(made)
        names = found["names"].tolist()
        return [
            (name, Scored(found["scores"][n], float(found["micros"][n]), float(found["seconds"][n])))
            for n, name in enumerate(names)
        ]


def table(findings: Sequence[Finding]) -> str:
    """Return markdown."""
    lines = [
        "| ranker | NDCG@10 | AUC in the list | calibration error, relative | µs for 1,000 | training, s |",
        "|" + " --- |" * 6,
    ]
    lines += [
        f"| {one.name} | {one.ndcg.mean:.4f} ± {one.ndcg.error:.4f} | {one.auc.mean:.4f} | {one.calibration.relative:.1%} "
        f"| {one.micros:,.0f} | {one.train_seconds:.1f} |"
        for one in findings
    ]
    return "\n".join(lines)


def pictures(every: Mapping[str, Sequence[Finding]]) -> tuple[str, str]:
    """Return quality against time, and reliability, a chart each data set."""
    quality, reliable = [], []
    for data, findings in every.items():
        dots: dict[str, Sequence[Point]] = {one.name: [(one.micros, one.ndcg.mean, 0.0)] for one in findings}
        quality.append(Chart(f"NDCG@10, {data}", "µs for 1,000 candidates, one core", dots, log_x=True, joined=False))
        lines = {
            one.name: [(each.predicted, each.happened, _error(each.happened, each.weight)) for each in one.calibration.bins]
            for one in findings
            if one.name in ("logistic", "trees 120", "network 128-64-32", "deep & cross")
        }
        title = f"how often it happened, {data}"
        reliable.append(Chart(title, "what was said", lines, log_x=True, log_y=True, diagonal=True))
    return picture("Rankers: quality against time", quality), picture("Rankers: reliability", reliable)


def main() -> None:
    """Print a table a data set and write the pictures."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders that `nearline import` knows")
    parser.add_argument("--peers", type=Path, default=None, help="Python of an environment with LightGBM and CatBoost")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "nearline-lessons", help="for examples")
    parser.add_argument("--out", type=Path, default=Path("docs/studies"), help="folder for JSON and SVG")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    every: dict[str, list[Finding]] = {}
    for data in options.data:
        own = lessons(data, options.cache)
        found = ours(own, options.seed) + (peers(own, options.peers) if options.peers else [])
        fusion = Scored(-own.fusion.astype(np.float32), 0.0, 0.0)
        findings = [judged(name, own, each) for name, each in found]
        every[data.name] = findings
        fused = judged("", own, fusion).ndcg.mean
        print(
            f"{data.name}: {len(own.taught.x):,} rows to learn from, {own.lists:,} lists to judge by, "
            f"{len(own.x) / own.lists:.0f} candidates a list, {len(own.taught.features)} features, "
            f"target among them in {own.target.sum() / own.lists:.1%}; by fusion alone {fused:.4f}; {machine()}\n"
        )
        print(table(findings), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "rankers.json").write_bytes(msgspec.json.format(msgspec.json.encode(every), indent=1))
    for name, drawn in zip(("rankers", "calibration"), pictures(every), strict=True):
        (options.out / f"{name}.svg").write_text(drawn, encoding="utf-8")


def _error(share: float, rows: float) -> float:
    return float(np.sqrt(share * (1 - share) / rows)) if rows else 0.0


if __name__ == "__main__":
    main()
