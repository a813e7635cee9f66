"""The extra `deep`: JAX trains, ONNX carries, ONNX Runtime serves. Imported where it is used: an application may do without."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from nearline.schema.errors import NearlineError

TRAINING, SERVING = ("jax", "optax", "onnx"), ("onnxruntime",)
REMEDY = 'pip install "nearline[deep]"'


def missing(packages: tuple[str, ...] = TRAINING + SERVING) -> str:
    """Return the name of the first package that is not installed, "" where all are."""
    return next((package for package in packages if find_spec(package) is None), "")


def needed(package: str, field: str) -> Any:
    """Return a package of the extra.

    Args:
        package: such as "onnxruntime".
        field: what needs it, such as "source sequence".

    Raises:
        NearlineError: it is not installed.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise NearlineError(field, None, f"{package} is not installed: {REMEDY}") from error
