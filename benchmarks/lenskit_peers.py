"""LensKit's models on given cases; run by `benchmarks.peers` in an environment of theirs, without this project.

Reads pairs of user and item, and the history of each case; writes the best items of each case by each model, -1 for a
stranger: who has touched nothing that the model knows (it can't be asked with anything else).
"""

from __future__ import annotations

import sys
import time
from importlib import import_module

import numpy as np


def main() -> None:
    """Read, fit, rank, write."""
    given = np.load(sys.argv[1])
    users, items, n_items = given["users"], given["items"], int(given["n_items"])
    history, starts, repeats, k = given["history"], given["starts"], bool(given["repeats"]), int(given["k"])
    data, pandas = import_module("lenskit.data"), import_module("pandas")
    known = data.from_interactions_df(pandas.DataFrame({"user_id": users, "item_id": items}))
    everything = data.ItemList(item_ids=np.arange(n_items))
    scorers = {
        "item kNN (LensKit)": import_module("lenskit.knn").ItemKNNScorer(max_nbrs=20, feedback="implicit"),
        "ALS (LensKit)": import_module("lenskit.als").ImplicitMFScorer(embedding_size=64, epochs=15),
    }
    best = np.full((len(scorers), len(starts) - 1, k), -1, np.int64)
    learned = np.unique(items)
    for row, (name, scorer) in enumerate(scorers.items()):
        began = time.perf_counter()
        scorer.train(known)
        print(f"{name}: trained in {time.perf_counter() - began:.1f} s", flush=True)
        for case in range(len(starts) - 1):
            own = np.unique(history[starts[case] : starts[case + 1]])
            asked = own[np.isin(own, learned)]
            if not len(asked):
                continue
            query = data.RecQuery(user_items=data.ItemList(item_ids=asked))
            scores = np.nan_to_num(np.asarray(scorer(query, everything).scores(), np.float64), nan=-1e9)
            if not repeats:
                scores[own] = -np.inf
            top = np.argpartition(-scores, k)[:k]
            best[row, case] = top[np.argsort(-scores[top], kind="stable")]
    np.savez(sys.argv[2], names=np.array(list(scorers)), best=best)


if __name__ == "__main__":
    main()
