"""LightGBM and CatBoost on given rows; run by `benchmarks.rankers` in an environment of theirs, without this project."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module

import numpy as np


def micros(act: Callable[[], object], repeats: int = 100) -> float:
    """Return median microseconds."""
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        act()
        taken.append(time.perf_counter() - began)
    return float(np.median(taken)) * 1e6


def main() -> None:
    """Read rows, fit, score, time, write."""
    catboost, lightgbm = import_module("catboost"), import_module("lightgbm")
    given = np.load(sys.argv[1])
    x, y, weight, apart, later = (given[name] for name in ("x", "y", "weight", "apart", "later"))
    probe = np.ascontiguousarray(later[:1000])
    names, scores, times, seconds = [], [], [], []
    for name, rate, trees in (("LightGBM 500", 0.05, 500), ("LightGBM 120", 0.1, 120)):
        began = time.perf_counter()
        options = {"objective": "binary", "learning_rate": rate, "num_leaves": 63, "verbose": -1, "num_threads": 2, "seed": 7}
        own = lightgbm.Dataset(x[~apart], y[~apart], weight=weight[~apart])
        held = lightgbm.Dataset(x[apart], y[apart], weight=weight[apart], reference=own)
        # All trees are kept and timed, and those that were best on the held lists are, too.
        model = lightgbm.train(options, own, trees, valid_sets=[held], callbacks=[lightgbm.early_stopping(40, verbose=False)])
        seconds.append(time.perf_counter() - began)
        best = model.best_iteration or trees
        names.append(f"{name} ({best} kept)")
        scores.append(model.predict(later, num_iteration=best))
        times.append(micros(partial(model.predict, probe, num_iteration=best, num_threads=1)))
    began = time.perf_counter()
    cat = catboost.CatBoostClassifier(
        iterations=500, depth=6, learning_rate=0.08, thread_count=2, random_seed=7, verbose=False, allow_writing_files=False
    )
    pools = [catboost.Pool(x[part], y[part], weight=weight[part]) for part in (~apart, apart)]
    cat.fit(pools[0], eval_set=pools[1], early_stopping_rounds=40, use_best_model=True)
    seconds.append(time.perf_counter() - began)
    names.append(f"CatBoost ({cat.tree_count_} kept)")
    scores.append(cat.predict_proba(later)[:, 1])
    times.append(micros(lambda: cat.predict(probe, prediction_type="RawFormulaVal", thread_count=1)))
    np.savez(
        sys.argv[2],
        names=np.array(names),
        scores=np.array(scores, np.float32),
        micros=np.array(times),
        seconds=np.array(seconds),
    )


if __name__ == "__main__":
    main()
