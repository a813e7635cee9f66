"""Metrics of lists and scores, each with its standard error.

Lists are read through `hits`, `[n, k] bool`: whether place `j` of list `i` holds a target. A short list has
misses at its end, and an item that stands twice counts once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from nearline.batch.protocols import Case
from nearline.schema.errors import NearlineError

F64 = NDArray[np.float64]
Hits = NDArray[np.bool_]
Counts = NDArray[np.int64]


class Estimate(msgspec.Struct, frozen=True):
    """A mean over cases and its standard error (NaN for fewer than two cases)."""

    mean: float
    error: float


class Summary(msgspec.Struct, frozen=True):
    """What lists were worth.

    Attributes:
        cases: number of lists.
        k: places that count.
        short: lists with fewer than `k` different items.
        coverage: share of the catalogue that stands in some list.
        gini: of the exposure over the catalogue; 0 even, towards 1 all on one item.
    """

    cases: int
    k: int
    short: int
    hit_rate: Estimate
    ndcg: Estimate
    recall: Estimate
    precision: Estimate
    mrr: Estimate
    coverage: float
    gini: float


def evaluate_lists(lists: Sequence[Sequence[str]], cases: Sequence[Case], n_items: int, k: int = 10) -> Summary:
    """Return what lists are worth, cut at `k`.

    Args:
        lists: item ids, best first, one list per case.
        cases: in the same order.
        n_items: size of the catalogue, for coverage and Gini.
        k: places that count.

    Raises:
        NearlineError: not one list per case, no case at all, or a case without targets.
    """
    if not cases or len(lists) != len(cases):
        raise NearlineError("lists", len(lists), f"give one list for each of the {len(cases)} cases, at least one")
    if empty := [place for place, case in enumerate(cases) if not case.targets]:
        raise NearlineError("targets", len(empty), "leave out cases without targets", empty[0])
    hits = hits_at([case.targets for case in cases], lists, k)
    targets = np.array([len(case.targets) for case in cases], np.int64)
    shown = Counter(item for items in lists for item in dict.fromkeys(items[:k]))
    return Summary(
        cases=len(cases),
        k=k,
        short=sum(len(set(items[:k])) < k for items in lists),
        hit_rate=estimate(hit_rate(hits)),
        ndcg=estimate(ndcg(hits, targets)),
        recall=estimate(recall(hits, targets)),
        precision=estimate(precision(hits)),
        mrr=estimate(mrr(hits)),
        coverage=coverage(shown, n_items),
        gini=gini(list(shown.values()), n_items),
    )


def hits_at(targets: Sequence[AbstractSet[str]], lists: Sequence[Sequence[str]], k: int) -> Hits:
    """Return where lists hold targets, `[n, k] bool`."""
    hits = np.zeros((len(lists), k), np.bool_)
    for row, (wanted, items) in enumerate(zip(targets, lists, strict=True)):
        seen = set()
        for place, item in enumerate(items[:k]):
            if item in wanted and item not in seen:
                hits[row, place] = True
                seen.add(item)
    return hits


def hit_rate(hits: Hits) -> F64:
    """Return 1 where any target is in the list, `[n] float64`."""
    return np.asarray(hits.any(axis=1), np.float64)


def ndcg(hits: Hits, targets: Counts) -> F64:
    """Return binary NDCG, `[n] float64`: gain 1 / log2(rank + 1), over that of min(k, targets) hits in front.

    Järvelin & Kekäläinen, "Cumulated gain-based evaluation of IR techniques", 2002.

    Args:
        hits: `[n, k] bool`.
        targets: number of targets, at least 1, `[n] int64`.
    """
    k = hits.shape[1]
    gains = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(gains)[np.minimum(targets, k) - 1]
    return np.asarray((hits @ gains) / ideal, np.float64)


def recall(hits: Hits, targets: Counts) -> F64:
    """Return hits / min(k, targets), `[n] float64`, so that a perfect list always has 1."""
    return np.asarray(hits.sum(axis=1) / np.minimum(targets, hits.shape[1]), np.float64)


def precision(hits: Hits) -> F64:
    """Return hits / k, `[n] float64`; the places that a short list lacks are misses."""
    return np.asarray(hits.mean(axis=1), np.float64)


def mrr(hits: Hits) -> F64:
    """Return 1 / rank of the first hit, 0 without one, `[n] float64`."""
    return np.where(hits.any(axis=1), 1.0 / (hits.argmax(axis=1) + 1), 0.0)


def tied_rank(scores: ArrayLike, target: int) -> float:
    """Return the rank, from 1, of the item in place `target` among `scores`, `[n]`: 1 + greater + equal / 2.

    Equal are the others with its score, not itself.
    """
    values = np.asarray(scores)
    own = values[target]
    return float(1 + np.count_nonzero(values > own) + (np.count_nonzero(values == own) - 1) / 2)


def auc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Return the chance that a positive scores above a negative, ties half (Mann & Whitney, 1947).

    Args:
        scores: `[n]`, finite.
        labels: `[n] bool`.

    Returns:
        NaN where one of the classes is missing.
    """
    positive = np.asarray(labels, np.bool_)
    n_positive = int(np.count_nonzero(positive))
    n_negative = positive.size - n_positive
    if not n_positive or not n_negative:
        return float("nan")
    _, place, count = np.unique(np.asarray(scores), return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    above = float(rank[positive].sum()) - n_positive * (n_positive + 1) / 2
    return above / (n_positive * n_negative)


def coverage(shown: Iterable[str], n_items: int) -> float:
    """Return the share of a catalogue of `n_items` that was shown.

    Raises:
        NearlineError: more items were shown than the catalogue has.
    """
    different = len(set(shown))
    if n_items < 1 or different > n_items:
        raise NearlineError("n_items", n_items, f"give the size of the catalogue; {different} items were shown")
    return different / n_items


def gini(exposure: Sequence[int], n_items: int) -> float:
    """Return the Gini coefficient of exposure: sum((2i - n - 1) x_i) / (n sum(x)), x ascending, i from 1.

    Args:
        exposure: how often each shown item was shown.
        n_items: size of the catalogue; items not in `exposure` count as never shown.
    """
    counts = np.zeros(max(n_items, len(exposure)))
    counts[: len(exposure)] = exposure
    counts.sort()
    total, n = float(counts.sum()), counts.size
    return float((2 * np.arange(1, n + 1) - n - 1) @ counts / (n * total)) if total else 0.0


def estimate(values: ArrayLike) -> Estimate:
    """Return the mean of `values`, `[n]`, and its standard error."""
    return Estimate(float(np.mean(np.asarray(values, np.float64))), standard_error(values))


def standard_error(values: ArrayLike) -> float:
    """Return the sample's standard deviation / sqrt(n); NaN for fewer than two values."""
    array = np.asarray(values, np.float64)
    return float(array.std(ddof=1) / np.sqrt(array.size)) if array.size > 1 else float("nan")
