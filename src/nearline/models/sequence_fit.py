"""Training of the two towers in JAX: what was done up to an event predicts the item that came next, or what is
around a hidden event its own item.

The loss is the softmax over all items where the catalogue is small, and over shared samples with their logQ correction
where it is large (Yi et al. 2019); a single negative teaches far less of either. AdamW with a warm-up and a cosine to a
twentieth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.models.extra import needed
from nearline.models.histories import Stream, Windows, batches, last_of, windows
from nearline.models.user_tower import Shape, Weights, asked, encode, new_weights

Say = Callable[[str], None]
CHUNK = 512
"""Positions whose scores of all items are held at once: what fits the cache is not fetched twice."""
TOGETHER = 16
"""Steps taken in one call."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train.

    Attributes:
        epochs: passes over all events.
        length: of a window.
        batch: windows in a step.
        rate: the greatest learning rate.
        dropout: share of values that is left out.
        nameless: share of items that are known by their attributes alone in a step.
        decay: of weights, as AdamW has it.
        samples: items that a target is compared with; 0 for all.
        hidden: share of events behind the mask, where the tower looks in both directions.
        held: visitors whose last event judges each epoch, at most; 0 for none.
        patience: epochs without a better one after which training ends.
        seed: of all randomness.
    """

    epochs: int = 24
    length: int = 128
    batch: int = 16
    rate: float = 2e-3
    dropout: float = 0.2
    nameless: float = 0.05
    decay: float = 0.01
    samples: int = 0
    hidden: float = 0.2
    held: int = 1000
    patience: int = 4
    seed: int = 1


def fit_towers(
    stream: Stream, rows: NDArray[np.int32], table: int, shape: Shape, recipe: Recipe, start: Weights, say: Say
) -> Weights:
    """Return the trained weights of both towers in NumPy: the user tower's, `own [n_items, d]`, `table [n_buckets, d]`.

    Args:
        rows: which of the table's rows speak for each item, `[n_items, most] int32`; see `item_tower`.
        table: how many rows it has.
        start: weights to begin with, by name; what it lacks begins anew.
        say: told about each epoch.
    """
    jax = needed("jax", "source sequence")
    random = np.random.default_rng(recipe.seed)
    n, d = len(rows), shape.dimensions
    made = new_weights(shape, recipe.seed)
    made["own"] = random.normal(0, 0.02, (n, d)).astype(np.float32)
    made["table"] = random.normal(0, 0.02, (table, d)).astype(np.float32)
    weights = {name: jax.numpy.asarray(start.get(name, value)) for name, value in made.items()}
    counts = np.bincount(stream.users)
    long = np.flatnonzero(counts > 2)
    held = np.sort(random.choice(long, min(recipe.held, len(long) // 10), replace=False)) if recipe.held else long[:0]
    out = np.zeros(len(stream.items), np.bool_)
    out[np.cumsum(counts)[held] - 1] = True
    judged = last_of(stream, held, shape.reads)
    size = recipe.length * recipe.batch
    steps = len(stream.items) // size
    if steps < TOGETHER:
        # Little to learn from: smaller steps, and enough of them.
        recipe = replace(recipe, batch=max(1, len(stream.items) // (recipe.length * TOGETHER)))
        steps = max(1, len(stream.items) // (recipe.length * recipe.batch))
    together = max(1, min(TOGETHER, steps))
    trainer = _Trainer(shape, recipe, rows, _chances(stream.items, n), recipe.epochs * (steps // together) * together)
    state = trainer.begin(weights)
    best, kept, worse = -1.0, weights, 0
    for epoch in range(recipe.epochs):
        losses = []
        for batch in batches(windows(stream, recipe.length, out, random, shape.both), recipe.batch, together):
            weights, state, loss = trainer.steps(weights, state, batch, random)
            losses.append(loss)
        text = f"  sequence: epoch {epoch + 1} of {recipe.epochs}, loss {np.mean([float(loss) for loss in losses]):.3f}"
        if len(held):
            quality = trainer.judge(weights, judged)
            text += f", ndcg@10 {quality:.4f} of {len(held)} held out"
            worse = 0 if quality > best else worse + 1
            if quality > best:
                best, kept = quality, jax.tree.map(jax.numpy.copy, weights)
        say(text)
        if worse > recipe.patience:
            break
    return {name: np.asarray(value, np.float32) for name, value in (kept if len(held) else weights).items()}


def _chances(items: NDArray[np.int32], n: int) -> NDArray[np.float64]:
    """Return how probable each item is as a sample: half of all draws are even, half follow how often items occur."""
    counts = np.bincount(items, minlength=n)
    return np.asarray(0.5 / n + 0.5 * counts / counts.sum(), np.float64)


class _Trainer:
    """Compiled steps of one training."""

    def __init__(self, shape: Shape, recipe: Recipe, rows: NDArray[np.int32], chances: NDArray[np.float64], steps: int) -> None:
        self._jax = jax = needed("jax", "source sequence")
        self._optax = optax = needed("optax", "source sequence")
        self._shape, self._recipe = shape, recipe
        self._rows, self._chances = jax.numpy.asarray(rows), chances
        warm = min(300, max(1, steps // 10))
        rate = optax.warmup_cosine_decay_schedule(0.0, recipe.rate, warm, max(steps, warm + 1), recipe.rate / 20)
        decayed = lambda weights: jax.tree.map(lambda value: value.ndim > 1, weights)  # noqa: E731
        self._rule = optax.adamw(rate, b1=0.9, b2=0.98, weight_decay=recipe.decay, mask=decayed)
        self._many = jax.jit(self._scan, donate_argnums=(0, 1))
        self._best = jax.jit(self._ranks)

    def begin(self, weights: Weights) -> Any:
        """Return the state of the rule that changes the weights."""
        return self._rule.init(weights)

    def steps(self, weights: Weights, state: Any, batch: Windows, random: np.random.Generator) -> tuple[Weights, Any, Any]:
        """Take several steps; return what they left, and their mean loss."""
        jax, together = self._jax, len(batch)
        keys = jax.random.split(jax.random.key(int(random.integers(1 << 31))), together)
        size = (together, self._recipe.samples)
        samples = random.choice(len(self._chances), size, p=self._chances) if self._recipe.samples else np.zeros(size)
        columns = (batch.items, batch.roles, batch.gaps, batch.users, batch.targets, batch.weights)
        found: tuple[Weights, Any, Any] = self._many(weights, state, columns, samples.astype(np.int32), keys, self._rows)
        return found

    def judge(self, weights: Weights, held: Windows) -> float:
        """Return the mean NDCG@10 of held out items among all."""
        total, size = 0.0, 256
        for begin in range(0, len(held), size):
            columns = [getattr(held, name)[begin : begin + size] for name in Windows.__slots__[:5]]
            n = len(columns[0])
            padded = [np.concatenate((c, np.repeat(c[-1:], size - n, axis=0))) for c in columns]
            ranks = np.asarray(self._best(weights, padded, self._rows))[:n]
            total += float(np.where(ranks < 10, 1 / np.log2(ranks + 2), 0.0).sum())
        return total / max(1, len(held))

    def _scan(self, weights: Weights, state: Any, columns: Any, samples: Any, keys: Any, rows: Any) -> Any:
        jax = self._jax

        def one(carry: Any, step: Any) -> Any:
            weights, state = carry
            loss, slopes = jax.value_and_grad(self._loss)(weights, *step, rows)
            changes, state = self._rule.update(slopes, state, weights)
            return (self._optax.apply_updates(weights, changes), state), loss

        (weights, state), losses = jax.lax.scan(one, (weights, state), (columns, samples, keys))
        return weights, state, losses.mean()

    def _vectors(self, weights: Weights, rows: Any, key: Any, places: Any = None) -> Any:
        """Return the vectors of items, all or those at places; without `key`, none goes without its own part."""
        jax, jnp = self._jax, self._jax.numpy
        own = weights["own"] if places is None else weights["own"][places]
        if key is not None and self._recipe.nameless:
            drawn = jax.random.uniform(key, (len(weights["own"]), 1))
            own = jnp.where((drawn if places is None else drawn[places]) < self._recipe.nameless, 0.0, own)
        rows = rows if places is None else rows[places]
        there = (rows > 0)[..., None]
        spoken = jnp.where(there, weights["table"][rows], 0.0).sum(-2) / jnp.sqrt(jnp.maximum(1, there.sum(-2)))
        return own + spoken

    def _loss(self, weights: Weights, columns: Any, samples: Any, key: Any, rows: Any) -> Any:
        jax, jnp, recipe = self._jax, self._jax.numpy, self._recipe
        items, roles, gaps, users, targets, counts = columns
        drawn, key = jax.random.split(key)
        few = recipe.samples > 0
        if few:
            own, right, others = (self._vectors(weights, rows, drawn, p) for p in (items, targets.reshape(-1), samples))
            # What is drawn often would be pushed away too often, but for what its chance takes from its score.
            fixed = jnp.log(jnp.asarray(self._chances, jnp.float32)[samples] * recipe.samples)
        else:
            others = self._vectors(weights, rows, drawn)
            own, right = others[items], others[targets.reshape(-1)]
        hidden = None
        if self._shape.both:
            key, hiding = jax.random.split(key)
            places, hidden = self._hidden(users, counts, hiding)
        after = encode(weights, self._shape, own, roles, gaps, users, recipe.dropout, key, hidden)
        if self._shape.both:
            after = jnp.take_along_axis(after, places[..., None], 1)
            right = jnp.take_along_axis(right.reshape(*items.shape, -1), places[..., None], 1).reshape(-1, after.shape[-1])
            targets, counts = (jnp.take_along_axis(column, places, 1) for column in (targets, counts))
        after = after.reshape(-1, after.shape[-1])
        targets, counts = targets.reshape(-1), counts.reshape(-1)

        def loss(after: Any, right: Any, targets: Any, counts: Any) -> Any:
            score, scores = (after * right).sum(-1), after @ others.T
            if few:
                scores = jnp.where(samples[None] == targets[:, None], -1e9, scores - fixed)
                return ((jnp.logaddexp(jax.nn.logsumexp(scores, -1), score) - score) * counts).sum()
            return ((jax.nn.logsumexp(scores, -1) - score) * counts).sum()

        pieces = max(1, len(targets) // CHUNK)
        if len(targets) % pieces:
            return loss(after, right, targets, counts) / jnp.maximum(counts.sum(), 1e-9)
        parts = [value.reshape(pieces, -1, *value.shape[1:]) for value in (after, right, targets, counts)]
        # Computed again for the slopes: the scores of all items are larger than all else together.
        once = jax.checkpoint(loss)
        total, _ = jax.lax.scan(lambda sum_, piece: (sum_ + once(*piece), None), 0.0, tuple(parts))
        return total / jnp.maximum(counts.sum(), 1e-9)

    def _hidden(self, users: Any, counts: Any, key: Any) -> tuple[Any, Any]:
        """Return the places that teach, `[n, share of length]`, and which events are hidden, `[n, length] bool`.

        A visitor's last event of a window is always one: a mask with nothing after it is what is asked. What is held out is
        hidden too, or others would learn from it.
        """
        jnp = self._jax.numpy
        n, length = users.shape
        last = jnp.concatenate((users[:, 1:] != users[:, :-1], jnp.ones((n, 1), bool)), 1)
        order = jnp.argsort(jnp.where(last, -1.0, self._jax.random.uniform(key, (n, length))), axis=1)
        places = order[:, : max(1, round(self._recipe.hidden * length))]
        return places, (counts == 0).at[jnp.arange(n)[:, None], places].set(True)

    def _ranks(self, weights: Weights, columns: Any, rows: Any) -> Any:
        items, roles, gaps, users, targets = columns
        vectors = self._vectors(weights, rows, None)
        after = asked(weights, self._shape, vectors[items], roles, gaps, users)
        scores = after @ vectors.T
        right = self._jax.numpy.take_along_axis(scores, targets[:, -1:], 1)
        return (scores > right).sum(1)
