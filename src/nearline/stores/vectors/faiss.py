"""Vectors in this process, by FAISS: "faiss:?index=ivf_sq8&nprobe=64"; as `memory:`, but refused where FAISS is missing."""

from __future__ import annotations

import faiss  # noqa: F401

from nearline.stores.vectors.memory import open_index

__all__ = ["open_index"]
