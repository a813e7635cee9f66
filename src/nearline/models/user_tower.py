"""The user tower in JAX: self-attention over a visitor's last events, as it is trained.

Blocks are normalised before what they add (as eSASRec's are), and where an event stands is told by how far it is behind the
one that looks at it, a learned bias for each head and lag. So there is no place that a model never saw, and what is trained on
windows of any length is asked with fifty events. `tower_graph` is the same for ONNX.

Causal (SASRec), an event looks back only, and the last one asks what comes next. In both directions (BERT4Rec, Sun 2019),
events look ahead as well, some are hidden behind a mask, and a mask after the last event asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.models.extra import needed

ROLES, GAP_CLASSES = 9, 5
Weights = dict[str, Any]
"""Arrays by name; those of block 2 begin with "2."."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a tower.

    Attributes:
        dimensions: of item and user vectors.
        blocks, heads: of attention.
        lags: how far back an event looks.
        inner: width of the feed-forward part, in dimensions.
        both: whether events look in both directions.
    """

    dimensions: int = 128
    blocks: int = 2
    heads: int = 2
    lags: int = 50
    inner: int = 2
    both: bool = False

    @property
    def reads(self) -> int:
        """Return how many events it is asked with at most: where a mask stands after them, one less than it looks back."""
        return self.lags - self.both


def new_weights(shape: Shape, seed: int) -> Weights:
    """Return a tower's weights before it has learned anything."""
    jax = needed("jax", "source sequence")
    jnp, d = jax.numpy, shape.dimensions
    keys = iter(jax.random.split(jax.random.key(seed), 4 * shape.blocks + 2))

    def normal(*size: int, scale: float) -> Any:
        return scale * jax.random.normal(next(keys), size)

    made: Weights = {"scale": jnp.ones(d), "shift": jnp.zeros(d)}
    made |= {"roles": normal(ROLES, d, scale=0.1), "gaps": normal(GAP_CLASSES, d, scale=0.1)}
    near = jnp.zeros(shape.lags)
    if shape.both:
        made |= {"mask": 0.2 * jax.random.normal(jax.random.key(seed + 1), (d,))}
        # A mask knows nothing of itself: it begins by looking at what is near, or is slower to learn.
        near = -jnp.log1p(jnp.abs(jnp.arange(1.0 - shape.lags, shape.lags)))
    for block in range(shape.blocks):
        made |= {
            f"{block}.qkv": normal(d, 3 * d, scale=d**-0.5),
            f"{block}.out": normal(d, d, scale=0.5 * d**-0.5),
            f"{block}.lags": jnp.broadcast_to(near, (shape.heads, len(near))),
            f"{block}.up": normal(d, shape.inner * d, scale=d**-0.5),
            f"{block}.up_bias": jnp.zeros(shape.inner * d),
            f"{block}.down": normal(shape.inner * d, d, scale=0.5 * (shape.inner * d) ** -0.5),
            f"{block}.down_bias": jnp.zeros(d),
        }
        for name in ("attention", "forward"):
            made |= {f"{block}.{name}_scale": jnp.ones(d), f"{block}.{name}_shift": jnp.zeros(d)}
    return made


def packed(weights: Mapping[str, Any]) -> NDArray[np.float32]:
    """Return a tower's weights one behind the other, in the order of their names, `[n] float32`."""
    return np.concatenate([np.asarray(weights[name], np.float32).reshape(-1) for name in sorted(weights)])


def unpacked(values: NDArray[np.float32], shape: Shape) -> Weights:
    """Return the weights that `packed` put together, for a tower of the same shape."""
    found: Weights = {}
    begin = 0
    for name, like in sorted(new_weights(shape, 0).items()):
        found[name] = values[begin : begin + like.size].reshape(like.shape)
        begin += like.size
    return found


def encode(
    weights: Weights, shape: Shape, items: Any, roles: Any, gaps: Any, users: Any, dropout: float, key: Any, hidden: Any = None
) -> Any:
    """Return what a visitor is after each of his events, or in place of those that are hidden, `[n, length, d]`.

    Args:
        items: vectors of the events' items, `[n, length, d]`.
        roles, gaps, users: see `histories.Windows`, `[n, length]`; one event looks only at others of its user.
        dropout: share of what is left out while training.
        key: of JAX's randomness; `None` to leave nothing out.
        hidden: which events stand behind the mask, `[n, length] bool`; of a tower that looks in both directions.
    """
    jax = needed("jax", "source sequence")
    jnp = jax.numpy
    n, length, d = items.shape
    heads, width = shape.heads, d // shape.heads
    lag = jnp.arange(length)[:, None] - jnp.arange(length)[None]
    least = 1 - shape.lags if shape.both else 0
    seen = ((lag >= least) & (lag < shape.lags))[None] & (users[:, :, None] == users[:, None, :])
    unseen = jnp.where(seen, 0.0, -1e9)[:, None]

    def left(value: Any, place: int) -> Any:
        return value if key is None else _dropped(jax, value, dropout, jax.random.fold_in(key, place))

    x = items * d**0.5 + weights["roles"][roles] + weights["gaps"][gaps]
    x = left(x if hidden is None else jnp.where(hidden[..., None], weights["mask"], x), 0)
    for block in range(shape.blocks):
        own = {name.partition(".")[2]: value for name, value in weights.items() if name.startswith(f"{block}.")}
        normed = _normed(jnp, x, own["attention_scale"], own["attention_shift"])
        q, k, v = (normed @ own["qkv"]).reshape(n, length, 3, heads, width).transpose(2, 0, 3, 1, 4)
        near = own["lags"][:, jnp.clip(lag, least, shape.lags - 1) - least]
        looks = jax.nn.softmax(jnp.einsum("bhqd,bhkd->bhqk", q, k) * width**-0.5 + near[None] + unseen, -1)
        mixed = jnp.einsum("bhqk,bhkd->bhqd", looks, v).transpose(0, 2, 1, 3).reshape(n, length, d)
        x = x + left(mixed @ own["out"], 3 * block + 1)
        normed = _normed(jnp, x, own["forward_scale"], own["forward_shift"])
        wide = left(jax.nn.gelu(normed @ own["up"] + own["up_bias"], approximate=False), 3 * block + 2)
        x = x + left(wide @ own["down"] + own["down_bias"], 3 * block + 3)
    return _normed(jnp, x, weights["scale"], weights["shift"])


def asked(weights: Weights, shape: Shape, items: Any, roles: Any, gaps: Any, users: Any) -> Any:
    """Return what visitors are after the last of at most `shape.reads` events, `[n, d]`; see `encode`."""
    if not shape.both:
        return encode(weights, shape, items, roles, gaps, users, 0.0, None)[:, -1]
    jnp = needed("jax", "source sequence").numpy
    items, roles, gaps, users = (jnp.concatenate((c, c[:, -1:]), 1) for c in (items, roles, gaps, users))
    hidden = jnp.zeros(roles.shape, bool).at[:, -1].set(True)
    return encode(weights, shape, items, roles, gaps, users, 0.0, None, hidden)[:, -1]


def _normed(jnp: Any, x: Any, scale: Any, shift: Any) -> Any:
    centred = x - x.mean(-1, keepdims=True)
    return centred / jnp.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * scale + shift


def _dropped(jax: Any, x: Any, share: float, key: Any) -> Any:
    # Bytes are drawn in a fourth of the time of floats.
    limit = int(share * 256)
    kept = jax.random.bits(key, x.shape, jax.numpy.uint8) >= limit
    return jax.numpy.where(kept, x * (256 / (256 - limit)), 0.0)
