"""Building ONNX graphs by hand: a few words, a fixed opset, bytes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.models.extra import needed

OPSET, IR = 20, 9
"""What ONNX Runtime 1.17 and later run."""
EPSILON = 1e-5


class Graph:
    """An ONNX graph under construction. Values are named by strings, which each word takes and returns.

    Args:
        name: of the graph.
    """

    def __init__(self, name: str) -> None:
        self._onnx: Any = needed("onnx", f"model {name}")
        self._name = name
        self._nodes: list[Any] = []
        self._weights: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []

    def input(self, name: str, shape: Sequence[int | str], dtype: Any = np.float32) -> str:
        """Declare an input; a dimension that is a word may have any length."""
        self._inputs.append(self._value(name, shape, dtype))
        return name

    def output(self, name: str, value: str, shape: Sequence[int | str], dtype: Any = np.float32) -> None:
        """Declare that a value is an output."""
        self._nodes.append(self._onnx.helper.make_node("Identity", [value], [name]))
        self._outputs.append(self._value(name, shape, dtype))

    def weight(self, array: Any, dtype: Any = np.float32) -> str:
        """Return an initialiser that holds an array."""
        name = f"w{len(self._weights)}"
        self._weights.append(self._onnx.numpy_helper.from_array(np.ascontiguousarray(array, dtype), name))
        return name

    def integers(self, *values: int) -> str:
        """Return an initialiser of int64, such as a shape or axes."""
        return self.weight(np.array(values), np.int64)

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Return the output of one operator of the standard set; an input that is left out is ""."""
        name = f"v{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def matmul(self, left: str, right: str) -> str:
        """Return the product of the last two dimensions."""
        return self.node("MatMul", left, right)

    def add(self, left: str, right: str) -> str:
        """Return a sum, broadcast."""
        return self.node("Add", left, right)

    def multiply(self, left: str, right: str) -> str:
        """Return a product by element, broadcast."""
        return self.node("Mul", left, right)

    def dense(self, value: str, weights: Any, bias: Any | None = None) -> str:
        """Return `value @ weights + bias`; weights `[n_in, n_out]`, bias `[n_out]`."""
        product = self.matmul(value, self.weight(weights))
        return product if bias is None else self.add(product, self.weight(bias))

    def layer_norm(self, value: str, scale: Any, bias: Any | None = None) -> str:
        """Return the last dimension with mean 0 and variance 1 (epsilon 1e-5), scaled and shifted."""
        rest = [] if bias is None else [self.weight(bias)]
        return self.node("LayerNormalization", value, self.weight(scale), *rest, axis=-1, epsilon=EPSILON)

    def softmax(self, value: str) -> str:
        """Return the softmax over the last dimension."""
        return self.node("Softmax", value, axis=-1)

    def relu(self, value: str) -> str:
        """Return max(0, value)."""
        return self.node("Relu", value)

    def sigmoid(self, value: str) -> str:
        """Return 1 / (1 + exp(-value))."""
        return self.node("Sigmoid", value)

    def silu(self, value: str) -> str:
        """Return value · sigmoid(value)."""
        return self.multiply(value, self.sigmoid(value))

    def gelu(self, value: str) -> str:
        """Return value · Φ(value), not approximated."""
        return self.node("Gelu", value)

    def concat(self, *values: str, axis: int = -1) -> str:
        """Return values one after the other along an axis."""
        return self.node("Concat", *values, axis=axis)

    def gather(self, table: Any, places: str) -> str:
        """Return the rows of a table (`[n, d] float32`) at places (an int32 or int64 value)."""
        return self.node("Gather", self.weight(table), places)

    def reshape(self, value: str, *shape: int) -> str:
        """Return a value in another shape; 0 keeps a dimension, one -1 takes what is left."""
        return self.node("Reshape", value, self.integers(*shape))

    def transpose(self, value: str, *order: int) -> str:
        """Return a value with its dimensions in another order."""
        return self.node("Transpose", value, perm=list(order))

    def build(self) -> NDArray[np.uint8]:
        """Return the checked model as a release keeps it, `[n_bytes] uint8`."""
        helper = self._onnx.helper
        graph = helper.make_graph(self._nodes, self._name, self._inputs, self._outputs, self._weights)
        opset = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=IR, producer_name="nearline")
        self._onnx.checker.check_model(model, full_check=True)
        return np.frombuffer(model.SerializeToString(), np.uint8)

    def _value(self, name: str, shape: Sequence[int | str], dtype: Any) -> Any:
        kind = self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self._onnx.helper.make_tensor_value_info(name, kind, list(shape))
