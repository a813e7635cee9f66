"""A graph that is built, carried as bytes and run says what NumPy says; what does not fit is refused with a remedy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nearline.models.graph import Graph
from nearline.models.session import OnnxSession, model_file
from nearline.schema.errors import NearlineError

rng = np.random.default_rng(3)
W, B = rng.normal(size=(6, 4)).astype(np.float32), rng.normal(size=4).astype(np.float32)
SCALE, SHIFT = rng.normal(size=6).astype(np.float32), rng.normal(size=6).astype(np.float32)
TABLE = rng.normal(size=(9, 6)).astype(np.float32)


def _model() -> np.ndarray:
    graph = Graph("small")
    x = graph.input("x", ("n", 6))
    places = graph.input("places", ("n",), np.int32)
    normed = graph.layer_norm(graph.add(x, graph.gather(TABLE, places)), SCALE, SHIFT)
    graph.output("y", graph.softmax(graph.dense(graph.silu(normed), W, B)), ("n", 4))
    return graph.build()


def test_it_computes_what_numpy_computes(tmp_path: Path) -> None:
    model = _model()
    session = OnnxSession(model, "small", ("x", "places"), ("y",))
    x, places = rng.normal(size=(5, 6)).astype(np.float32), np.array([0, 3, 8, 3, 1], np.int32)
    (y,) = session.run(x=x, places=places)
    h = x + TABLE[places]
    h = (h - h.mean(1, keepdims=True)) / np.sqrt(h.var(1, keepdims=True) + 1e-5) * SCALE + SHIFT
    logits = h / (1 + np.exp(-h)) @ W + B
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(y, expected, atol=1e-5)
    # The same bytes are the same model, from a file too.
    (tmp_path / "small.onnx").write_bytes(model.tobytes())
    again = OnnxSession(model_file(tmp_path / "small.onnx", "model"), "small.onnx")
    assert again.checksum == session.checksum == OnnxSession(_model(), "small").checksum
    assert again.inputs == {"x": ("n", 6), "places": ("n",)}


def test_what_does_not_fit_is_refused_with_a_remedy(tmp_path: Path) -> None:
    model = _model()
    with pytest.raises(NearlineError, match="export it with the inputs tokens"):
        OnnxSession(model, "tower.onnx", ("tokens",))
    with pytest.raises(NearlineError, match="export it with the outputs score"):
        OnnxSession(model, "tower.onnx", ("x", "places"), ("score",))
    with pytest.raises(NearlineError, match="an ONNX model that ONNX Runtime opens"):
        OnnxSession(model[:100].copy(), "tower.onnx")
    with pytest.raises(NearlineError, match=r"takes \{'x': \"float32\['n', 6\]\""):
        OnnxSession(model, "tower.onnx").run(x=np.zeros((1, 7), np.float32), places=np.zeros(1, np.int32))
    with pytest.raises(NearlineError, match="name a file that can be read"):
        model_file(tmp_path / "none.onnx", "SequenceSource.model")
