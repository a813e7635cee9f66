"""What simple and well-known recommenders reach on the same cases: popularity, recent popularity, ALS, BM25, EASE.

`python -m benchmarks.peers --data ../shared/data/ml-100k --protocol C`. Each is fitted on what the protocol lets be known;
what is revealed later moves counters and the history that a user is asked with, as far as the model can follow it. ALS and
BM25 are those of `implicit`; EASE is Steck's closed form (2019), while there are at most 8,000 items. With `--lenskit
.../python`, an environment in which LensKit is installed, its item kNN and implicit ALS are asked too, with the same histories.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp
from implicit.als import AlternatingLeastSquares
from implicit.nearest_neighbours import BM25Recommender
from numpy.typing import NDArray

from benchmarks.table import machine, say
from nearline.batch.dataset import for_asking
from nearline.batch.importers import load_dataset
from nearline.batch.metrics import Summary, evaluate_lists
from nearline.batch.protocols import Case, Split
from nearline.embedded.evaluation import PROTOCOLS, some_cases
from nearline.schema.clock import DAY, HOUR

COMMAND = "python -m benchmarks.peers"
K, MOST_ITEMS = 10, 8_000
F64 = NDArray[np.float64]


class Peer(Protocol):
    """One recommender."""

    def reveal(self, item: int, ms: int) -> None:
        """Take note of an event."""
        ...

    def scores(self, history: Sequence[int], ms: int) -> F64:
        """Return a score per item, `[n_items] float64`."""
        ...


class Popularity:
    """Counts, decayed with a half-life in ms (0: never)."""

    def __init__(self, n_items: int, half_life: float = 0.0) -> None:
        self._counts, self._half_life, self._start = np.zeros(n_items), half_life, 0

    def reveal(self, item: int, ms: int) -> None:
        """Count; instead of decaying all, later ones weigh more."""
        self._start = self._start or ms
        self._counts[item] += 2.0 ** ((ms - self._start) / self._half_life) if self._half_life else 1.0
        if self._counts[item] > 1e250:
            self._counts /= 1e250
            self._start += int(self._half_life * np.log2(1e250))

    def scores(self, history: Sequence[int], ms: int) -> F64:
        """Return the counts, whoever asks."""
        return self._counts


class Fitted:
    """A model that is asked with the history; who has none gets what is popular."""

    def __init__(self, ask: Callable[[Sequence[int]], F64], popularity: Popularity) -> None:
        self._ask, self._popularity = ask, popularity

    def reveal(self, item: int, ms: int) -> None:
        """Stay as fitted; only the fallback counts."""
        self._popularity.reveal(item, ms)

    def scores(self, history: Sequence[int], ms: int) -> F64:
        """Return the model's scores."""
        return self._ask(history) if history else self._popularity.scores(history, ms)


class OwnLast:
    """What the visitor touched last, the newest first: hard to beat where the same items come again."""

    def __init__(self, n_items: int) -> None:
        self._n_items = n_items

    def reveal(self, item: int, ms: int) -> None:
        """Nothing is counted: the history says it all."""

    def scores(self, history: Sequence[int], ms: int) -> F64:
        """Return the place in the history of each item's last touch."""
        out = np.zeros(self._n_items)
        out[np.asarray(history, np.int64)] = np.arange(1, len(history) + 1)
        return out


def als(matrix: Any, seed: int = 1) -> Callable[[Sequence[int]], F64]:
    """Return implicit ALS with 64 factors, the user's vector made from his history."""
    model = AlternatingLeastSquares(factors=64, iterations=15, random_state=seed, num_threads=1)
    model.fit(matrix, show_progress=False)
    factors = np.asarray(model.item_factors, np.float64)

    def ask(history: Sequence[int]) -> F64:
        vector = model.recalculate_user(0, _row(history, matrix.shape[1]))
        out: F64 = factors @ np.asarray(vector, np.float64).ravel()
        return out

    return ask


def bm25(matrix: Any) -> Callable[[Sequence[int]], F64]:
    """Return item-item neighbours weighed by BM25, 100 each."""
    model = BM25Recommender(K=100, num_threads=1)
    with warnings.catch_warnings():
        # It converts its own matrix and warns of that.
        warnings.simplefilter("ignore")
        model.fit(matrix, show_progress=False)
    similarity = sp.csr_matrix(model.similarity)

    def ask(history: Sequence[int]) -> F64:
        out: F64 = np.asarray((_row(history, matrix.shape[1]) @ similarity).todense(), np.float64).ravel()
        return out

    return ask


def ease(matrix: Any, regularisation: float = 500.0) -> Callable[[Sequence[int]], F64]:
    """Return EASE, asked with the plain history."""
    gram = (matrix.T @ matrix).toarray().astype(np.float64)
    gram[np.diag_indices_from(gram)] += regularisation
    inverse = np.linalg.inv(gram)
    weights = -inverse / np.diag(inverse)
    weights[np.diag_indices_from(weights)] = 0.0

    def ask(history: Sequence[int]) -> F64:
        out: F64 = weights[list(set(history))].sum(axis=0)
        return out

    return ask


def _row(history: Sequence[int], n_items: int) -> Any:
    items = np.unique(np.asarray(history, np.int64))
    return sp.csr_matrix((np.ones(len(items), np.float32), (np.zeros(len(items), np.int64), items)), (1, n_items))


def peers(known: Sequence[tuple[str, int, int]], n_items: int) -> dict[str, Peer]:
    """Return all peers, fitted on (user, item, ms) rows."""
    users = {user: place for place, user in enumerate(dict.fromkeys(user for user, _, _ in known))}
    pairs = sorted({(users[user], item) for user, item, _ in known})
    rows, columns = np.array(pairs).T
    matrix = sp.csr_matrix((np.ones(len(pairs), np.float32), (rows, columns)), (len(users), n_items))
    out: dict[str, Peer] = {"popularity": Popularity(n_items)}
    horizons = {"4 h": 4 * HOUR, "1 d": DAY, "7 d": 7 * DAY}
    out |= {f"popularity, half-life {name}": Popularity(n_items, width) for name, width in horizons.items()}
    out["ALS (implicit)"] = Fitted(als(matrix), Popularity(n_items))
    out["BM25 (implicit)"] = Fitted(bm25(matrix), Popularity(n_items))
    if n_items <= MOST_ITEMS:
        out["EASE"] = Fitted(ease(matrix), Popularity(n_items))
    for peer in out.values():
        for _, item, ms in known:
            peer.reveal(item, ms)
    return out


def lenskit_lists(
    python: str, known: Sequence[tuple[str, int, int]], asked: Sequence[Sequence[int]], n_items: int, repeats: bool
) -> dict[str, list[list[int]]]:
    """Return each case's best items by LensKit's models, fitted and asked in another environment."""
    users = {user: place for place, user in enumerate(dict.fromkeys(user for user, _, _ in known))}
    pairs = np.array(sorted({(users[user], item) for user, item, _ in known}))
    with tempfile.TemporaryDirectory(prefix="nearline-") as folder:
        given, written = Path(folder) / "given.npz", Path(folder) / "written.npz"
        flat = np.array([item for own in asked for item in own], np.int64)
        starts = np.concatenate(([0], np.cumsum([len(own) for own in asked]))).astype(np.int64)
        np.savez(
            given, users=pairs[:, 0], items=pairs[:, 1], n_items=n_items, history=flat, starts=starts, repeats=repeats, k=K
        )
        program = str(Path(__file__).with_name("lenskit_peers.py"))
        subprocess.run([python, program, str(given), str(written)], check=True)
        found = np.load(written)
        return {str(name): rows.tolist() for name, rows in zip(found["names"], found["best"], strict=True)}


def measure(
    split: Split,
    cases: Sequence[Case],
    items: Sequence[str],
    frozen: bool = False,
    repeats: bool = False,
    lenskit: str = "",
) -> dict[str, Summary]:
    """Return what each peer's lists are worth.

    Args:
        items: what is ranked.
        frozen: nothing is revealed.
        repeats: what a user had may be listed again.
        lenskit: a Python that has LensKit; none: without it.
    """
    place = {item: k for k, item in enumerate(items)}

    def numbers(table: Any) -> list[tuple[str, int, int]]:
        columns = (table[name].to_pylist() for name in ("user_id", "item_id", "timestamp"))
        return [(user, place[item], ms) for user, item, ms in zip(*columns, strict=True) if item in place]

    known, later = numbers(split.known), [] if frozen else numbers(split.reveal)
    fitted = peers(known, len(items))
    if repeats:
        fitted["own last items"] = OwnLast(len(items))
    history: dict[str, list[int]] = {}
    for user, item, _ in known:
        history.setdefault(user, []).append(item)
    lists: dict[str, list[list[str]]] = {name: [] for name in fitted}
    asked: list[list[int]] = []
    done = 0
    for case in cases:
        for user, item, ms in later[done : case.revealed]:
            history.setdefault(user, []).append(item)
            for peer in fitted.values():
                peer.reveal(item, ms)
        done = max(done, min(case.revealed, len(later)))
        mine = history.get(case.user_id, [])
        asked.append(list(mine))
        for name, peer in fitted.items():
            scores = peer.scores(mine, case.now_ms)
            if not repeats and mine:
                scores = scores.copy()
                scores[mine] = -np.inf
            best = np.argpartition(-scores, K)[:K]
            lists[name].append([items[k] for k in best[np.argsort(-scores[best], kind="stable")].tolist()])
    if lenskit:
        for name, found in lenskit_lists(lenskit, known, asked, len(items), repeats).items():
            # A stranger's list is what is popular, as for the other models.
            both = zip(found, lists["popularity"], strict=True)
            lists[name] = [popular if row[0] < 0 else [items[k] for k in row] for row, popular in both]
    return {name: evaluate_lists(best, cases, len(items), K) for name, best in lists.items()}


def main() -> None:
    """Print one line per peer."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a folder that `nearline import` knows")
    parser.add_argument("--protocol", choices=list(PROTOCOLS), required=True)
    parser.add_argument("--holdout", choices=["test", "validation"], default="test", help="the part asked about")
    parser.add_argument("--users", type=int, default=0, help="ask about so many users only; 0: all")
    parser.add_argument("--frozen", action="store_true", help="C: stream nothing in after the split")
    parser.add_argument("--repeats", action="store_true", help="what a user had may be listed again")
    parser.add_argument("--lenskit", default="", help="a Python in whose environment LensKit is installed")
    o = parser.parse_args()
    dataset = for_asking(load_dataset(o.data))
    split = PROTOCOLS[o.protocol](dataset, o.holdout)
    ranked = [item.item_id for item in dataset.items]
    if o.protocol == "B":
        seen = set(split.known["item_id"].unique().to_pylist())
        ranked = [item for item in ranked if item in seen]
    cases = some_cases(split.cases, o.users, 7)
    say(f"{dataset.name} {split.name}: {len(cases):,} lists of {len(ranked):,} items; {machine()}")
    print("| peer | HR@10 | NDCG@10 | recall@10 | coverage |\n| --- | --- | --- | --- | --- |")
    for name, found in measure(split, cases, ranked, o.frozen, o.repeats, o.lenskit).items():
        means = (f"{one.mean:.4f} ± {one.error:.4f}" for one in (found.hit_rate, found.ndcg, found.recall))
        print(f"| {name} | {' | '.join(means)} | {found.coverage:.3f} |")


if __name__ == "__main__":
    main()
