"""An ONNX model in memory: checked when it is opened, run by ONNX Runtime on the caller's thread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_hexdigest

from nearline.models.extra import needed
from nearline.schema.errors import NearlineError

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(uint64)": np.uint64,
    "tensor(bool)": np.bool_,
}


def model_file(path: str | Path, field: str) -> NDArray[np.uint8]:
    """Return the bytes of a model's file, `[n_bytes] uint8`.

    Raises:
        NearlineError: it can't be read.
    """
    try:
        return np.fromfile(path, np.uint8)
    except OSError as error:
        raise NearlineError(field, str(path), f"name a file that can be read: {error.strerror}") from error


class OnnxSession:
    """A model that any number of threads may run, each on its own one thread.

    Args:
        model: its bytes, `[n] uint8`.
        name: where it came from, for errors: a file, or a component.
        inputs: names that it must have, in any order; not checked when empty.
        outputs: names that it must have; the same.

    Raises:
        NearlineError: ONNX Runtime is not installed, these bytes are no model, or it asks or answers something else.
    """

    def __init__(
        self, model: NDArray[np.uint8], name: str, inputs: tuple[str, ...] = (), outputs: tuple[str, ...] = ()
    ) -> None:
        runtime = needed("onnxruntime", name)
        options = runtime.SessionOptions()
        # The caller has a thread already, and a pool would fight with those of other requests.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.name, self.checksum = name, xxh3_64_hexdigest(np.ascontiguousarray(model).data)
        try:
            self._session: Any = runtime.InferenceSession(model.tobytes(), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors have no common class
            raise NearlineError(name, f"{len(model)} bytes", f"give an ONNX model that ONNX Runtime opens: {error}") from error
        self.inputs = {value.name: tuple(value.shape) for value in self._session.get_inputs()}
        self.outputs = {value.name: tuple(value.shape) for value in self._session.get_outputs()}
        self.dtypes = {value.name: np.dtype(_DTYPES.get(value.type, object)) for value in self._session.get_inputs()}
        self._has("inputs", tuple(self.inputs), inputs)
        self._has("outputs", tuple(self.outputs), outputs)
        self._names = list(outputs) if outputs else list(self.outputs)

    def run(self, **arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Return the outputs, in the order in which they were asked for or stand in the model.

        Raises:
            NearlineError: an input is missing, or its type or shape is not the model's.
        """
        try:
            return tuple(self._session.run(self._names, arrays))
        except Exception as error:
            given = {name: f"{array.dtype}{list(array.shape)}" for name, array in arrays.items()}
            wanted = {name: f"{self.dtypes[name]}{list(shape)}" for name, shape in self.inputs.items()}
            raise NearlineError(self.name, given, f"the model takes {wanted}: {error}") from error

    def _has(self, which: str, own: tuple[str, ...], wanted: tuple[str, ...]) -> None:
        if wanted and (set(wanted) - set(own) or (which == "inputs" and set(own) - set(wanted))):
            raise NearlineError(f"{self.name}: {which}", ", ".join(own), f"export it with the {which} {', '.join(wanted)}")
