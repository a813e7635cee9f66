"""The user tower as an ONNX graph: what a visitor is after his last event, and no more than that is computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.models.graph import Graph
from nearline.models.user_tower import Shape

INPUTS, OUTPUTS = ("items", "roles", "gaps"), ("user",)
"""items: vectors of the last events' items, oldest first, `[n, d] float32`; roles, gaps: of the events, `[n] int32`;
user: `[d] float32`, whose product with an item's vector is the item's score."""


def tower_graph(weights: Mapping[str, NDArray[Any]], shape: Shape) -> NDArray[np.uint8]:
    """Return a trained tower as the bytes of a model, for at most `shape.reads` events.

    Args:
        weights: as `user_tower.new_weights` makes them.
    """
    graph, d = Graph("user_tower"), shape.dimensions
    items = graph.input("items", ("n", d))
    roles, gaps = graph.input("roles", ("n",), np.int32), graph.input("gaps", ("n",), np.int32)
    x = graph.multiply(items, graph.weight(np.array(d**0.5)))
    x = graph.add(x, graph.add(graph.gather(weights["roles"], roles), graph.gather(weights["gaps"], gaps)))
    if shape.both:
        x = graph.concat(x, graph.weight(weights["mask"][None]), axis=0)
    lag, ahead = np.arange(shape.lags)[:, None] - np.arange(shape.lags)[None], shape.both * (shape.lags - 1)
    n = graph.add(graph.node("Shape", roles), graph.integers(int(shape.both)))
    last = graph.integers(-1)
    for block in range(shape.blocks):
        own = {name.partition(".")[2]: np.asarray(value) for name, value in weights.items() if name.startswith(f"{block}.")}
        ends = block == shape.blocks - 1
        normed = graph.layer_norm(x, own["attention_scale"], own["attention_shift"])
        # Who asks: all events, in the last block only the last one, or the mask after it.
        asking = graph.node("Slice", normed, last, graph.integers(1 << 30), graph.integers(0)) if ends else normed
        q, k, v = (
            _heads(graph, source, own["qkv"][:, at * d : at * d + d], shape)
            for at, source in enumerate((asking, *2 * [normed]))
        )
        scores = graph.matmul(q, graph.transpose(k, 0, 2, 1))
        scores = graph.multiply(scores, graph.weight(np.array((d // shape.heads) ** -0.5)))
        if ends:
            # Lags n - 1 .. 0 of the last event are the end of the turned table.
            behind = graph.node("Neg", n)
            near = graph.node(
                "Slice",
                graph.weight(own["lags"][:, None, ahead:][..., ::-1]),
                behind,
                graph.integers(1 << 30),
                graph.integers(2),
            )
        else:
            table = np.where(lag >= -ahead, own["lags"][:, lag.clip(min=-ahead) + ahead], np.float32(-1e9))
            to = graph.concat(n, n, axis=0)
            near = graph.node("Slice", graph.weight(table), graph.integers(0, 0), to, graph.integers(1, 2))
        looks = graph.softmax(graph.add(scores, near))
        mixed = graph.reshape(graph.transpose(graph.matmul(looks, v), 1, 0, 2), -1, d)
        x = graph.node("Slice", x, last, graph.integers(1 << 30), graph.integers(0)) if ends else x
        x = graph.add(x, graph.dense(mixed, own["out"]))
        normed = graph.layer_norm(x, own["forward_scale"], own["forward_shift"])
        x = graph.add(x, graph.dense(graph.gelu(graph.dense(normed, own["up"], own["up_bias"])), own["down"], own["down_bias"]))
    graph.output("user", graph.reshape(graph.layer_norm(x, weights["scale"], weights["shift"]), d), (d,))
    return graph.build()


def _heads(graph: Graph, value: str, weights: NDArray[Any], shape: Shape) -> str:
    """Return `[heads, n, d / heads]`."""
    wide = graph.reshape(graph.dense(value, weights), -1, shape.heads, shape.dimensions // shape.heads)
    return graph.transpose(wide, 1, 0, 2)
