"""Networks over features: trained by JAX on a release's examples, carried and served as ONNX."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from nearline.models.extra import needed
from nearline.models.graph import Graph
from nearline.rankers.linear import TrainingRows, calibrate
from nearline.rankers.scaling import Scaling
from nearline.schema.candidates import F32
from nearline.schema.components import Examples
from nearline.schema.errors import NearlineError

COLUMNS, SCORES = "columns", "scores"
"""Names of a ranker's input, `[n_features, n] float32`, and output, `[n_outcomes, n] float32`."""
LEAST = 20
"""Positive rows from which an outcome is learned; below, its head would only learn by heart who they were."""
Layer = tuple[Any, Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """Layers that all outcomes share, and what each has of its own.

    Args:
        cross: cross layers (Deep & Cross v2, Wang et al. 2021): `x0 * (W x + b) + x`.
        hidden: units of the dense layers after them.
        head: units of an outcome's own dense layer, 0 for none.
        dropout: share of shared units that are left out while training.
    """

    cross: int = 0
    hidden: tuple[int, ...] = (128, 64, 32)
    head: int = 0
    dropout: float = 0.1


@dataclass(frozen=True, slots=True)
class Learning:
    """How to train.

    Args:
        rate: of Adam at its height; it rises over the first steps and falls to 0 by a cosine.
        decay: of weights.
        batch: rows a step.
        epochs: passes over the rows at most.
        patience: passes without an improvement on the lists that are held apart, after which training ends.
    """

    rate: float = 2e-3
    decay: float = 1e-4
    batch: int = 4096
    epochs: int = 12
    patience: int = 3


def fit_network(examples: Examples, shape: Shape, learning: Learning, seed: int) -> NDArray[np.uint8]:
    """Return a trained network as an ONNX model, `[n_bytes] uint8`.

    Each outcome has its own loss, cross-entropy with labels from 0 to 1 (a share watched is one, too); one with fewer than 20
    positive rows is left out and scores 0. A tenth of the lists decides when to stop, and calibrates what came of it (Platt).

    Raises:
        NearlineError: no outcome can be learned, or the extra `deep` is not installed.
    """
    positives = (examples.y > 0).sum(0)
    enough = positives >= min(LEAST, max(1, len(examples.x) // 10))
    learned = np.flatnonzero(enough & (examples.y.max(0, initial=0) > examples.y.min(0, initial=1)))
    if not len(learned):
        raise NearlineError("examples", len(examples.x), "none has both outcomes and passed-over items to learn from")
    lists = np.unique(examples.group)
    apart = (np.random.default_rng(seed).random(len(lists)) < 0.1)[np.searchsorted(lists, examples.group)]
    if not apart.any() or not (examples.y[apart][:, learned] > 0).any() or not (examples.y[~apart][:, learned] > 0).any():
        apart = np.zeros(len(apart), np.bool_)
    scaling = Scaling.of(examples.x[~apart])
    z, y = scaling.apply(examples.x), examples.y[:, learned].astype(np.float32)
    weight = (examples.weight / examples.weight.mean(dtype=np.float64)).astype(np.float32)
    own, held = (z[~apart], y[~apart], weight[~apart]), (z[apart], y[apart], weight[apart])
    params, forward = _trained(own, held if apart.any() else own, shape, learning, seed)
    judged = apart if apart.any() else ~apart
    margins = np.asarray(forward(params, z[judged]), np.float64)
    calibration = np.array([_calibrated(margins[:, n], y[judged, n], examples, judged) for n in range(len(learned))])
    return _exported(params, scaling, calibration, learned, examples.y.shape[1])


def _calibrated(margin: NDArray[np.float64], y: F32, examples: Examples, rows: NDArray[np.bool_]) -> tuple[float, float]:
    whole = np.isin(y, (0, 1)).all() and 0 < y.sum() < len(y)
    if not whole:
        return 1.0, 0.0
    return calibrate(margin, TrainingRows(examples.x[rows][:, :1], y, examples.weight[rows], examples.group[rows]))


def _trained(
    rows: tuple[F32, F32, F32], held: tuple[F32, F32, F32], shape: Shape, learning: Learning, seed: int
) -> tuple[Any, Callable[[Any, F32], Any]]:
    """Return the parameters that were best on held rows, and the function that makes margins, `[n, n_learned]`, with them."""
    jax, optax = needed("jax", "ranker"), needed("optax", "ranker")
    jnp = jax.numpy
    x, y, weight = rows
    random = np.random.default_rng(seed)
    rates = np.clip((y * weight[:, None]).sum(0) / weight.sum(), 1e-6, 0.5)
    start = _start(random, x.shape[1], y.shape[1], shape, logit(rates))

    def forward(params: Any, z: Any, key: Any = None) -> Any:
        h = z
        for w, b in params["cross"]:
            h = z * (h @ w + b) + h
        for place, (w, b) in enumerate(params["deep"]):
            h = jnp.maximum(h @ w + b, 0.0)
            if key is not None and shape.dropout:
                kept = jax.random.bernoulli(jax.random.fold_in(key, place), 1 - shape.dropout, h.shape)
                h = h * kept / (1 - shape.dropout)
        outs = []
        for layers in params["heads"]:
            own = h
            for w, b in layers[:-1]:
                own = jnp.maximum(own @ w + b, 0.0)
            outs.append(own @ layers[-1][0] + layers[-1][1])
        return jnp.concatenate(outs, axis=1)

    def loss(params: Any, z: Any, y: Any, weight: Any, key: Any = None) -> Any:
        each = optax.sigmoid_binary_cross_entropy(forward(params, z, key), y)
        # A rare outcome counts as much as a common one: by its own entropy.
        return ((each * weight[:, None]).sum(0) / weight.sum() / entropy).mean()

    entropy = jnp.asarray(-(rates * np.log(rates) + (1 - rates) * np.log1p(-rates)), jnp.float32)
    n, batch = len(x), min(learning.batch, len(x))
    steps = max(1, n // batch)
    schedule = optax.warmup_cosine_decay_schedule(0.0, learning.rate, min(200, steps), learning.epochs * steps)
    mask = jax.tree_util.tree_map(lambda leaf: leaf.ndim > 1, start)
    optimiser = optax.adamw(schedule, weight_decay=learning.decay, mask=mask)

    @jax.jit  # type: ignore[untyped-decorator, unused-ignore]
    def step(params: Any, state: Any, key: Any, z: Any, y: Any, weight: Any) -> Any:
        slopes = jax.grad(loss)(params, z, y, weight, key)
        change, state = optimiser.update(slopes, state, params)
        return optax.apply_updates(params, change), state

    judge, predict = jax.jit(loss), jax.jit(forward)
    params, state, key = start, optimiser.init(start), jax.random.PRNGKey(seed)
    best, least, since = params, np.inf, 0
    for _ in range(learning.epochs):
        order = random.permutation(n)
        for place in range(steps):
            chosen = order[place * batch : (place + 1) * batch]
            key, own = jax.random.split(key)
            params, state = step(params, state, own, x[chosen], y[chosen], weight[chosen])
        if (found := float(judge(params, *held))) < least:
            best, least, since = params, found, 0
        elif (since := since + 1) >= learning.patience:
            break
    return jax.tree_util.tree_map(np.asarray, best), predict


def _start(random: np.random.Generator, width: int, outcomes: int, shape: Shape, margin: NDArray[np.float64]) -> Any:
    """Return parameters to begin with (He et al. 2015); each head says how often its outcome happens."""

    def layer(n_in: int, n_out: int, gain: float = 2.0) -> Layer:
        return (random.normal(size=(n_in, n_out)) * np.sqrt(gain / n_in)).astype(np.float32), np.zeros(n_out, np.float32)

    units = [width, *shape.hidden]
    last = units[-1]
    heads = []
    for n in range(outcomes):
        inner = [layer(last, shape.head)] if shape.head else []
        w, _ = layer(shape.head or last, 1, 0.01)
        heads.append([*inner, (w, np.full(1, margin[n], np.float32))])
    return {
        "cross": [layer(width, width, 0.1) for _ in range(shape.cross)],
        "deep": [layer(n_in, n_out) for n_in, n_out in itertools.pairwise(units)],
        "heads": heads,
    }


def _exported(
    params: Any, scaling: Scaling, calibration: NDArray[np.float64], learned: Sequence[int] | NDArray[np.intp], outcomes: int
) -> NDArray[np.uint8]:
    """Return the graph from columns to probabilities."""
    graph = Graph("ranker")
    z = scaling.put(graph, graph.input(COLUMNS, (len(scaling.tail), "n")))
    h = z
    for w, b in params["cross"]:
        h = graph.add(graph.multiply(z, graph.dense(h, w, b)), h)
    for w, b in params["deep"]:
        h = graph.relu(graph.dense(h, w, b))
    outs = []
    for layers, (slope, intercept) in zip(params["heads"], calibration, strict=True):
        own = h
        for w, b in layers[:-1]:
            own = graph.relu(graph.dense(own, w, b))
        outs.append(graph.dense(own, layers[-1][0] * slope, layers[-1][1] * slope + intercept))
    p = graph.sigmoid(graph.concat(*outs, axis=1) if len(outs) > 1 else outs[0])
    place = np.zeros((len(learned), outcomes), np.float32)
    place[np.arange(len(learned)), learned] = 1.0
    graph.output(SCORES, graph.transpose(graph.matmul(p, graph.weight(place)), 1, 0), (outcomes, "n"))
    return graph.build()
