"""Stores that are in the process itself: nothing is started, and nothing outlives who opened it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import ClassVar


def faiss_available() -> str:
    """Return "" where FAISS can be used, else what is missing."""
    return "" if importlib.util.find_spec("faiss") else 'needs FAISS: pip install "nearline[faiss]"'


class InProcess:
    """A place without a server.

    Args:
        url: of the place.
    """

    environment: ClassVar[dict[str, str]] = {}

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url

    def start(self) -> None:
        """Nothing runs."""

    def remove(self) -> None:
        """Nothing ran."""

    def place(self) -> str:
        """Return the URL."""
        return self._url

    def empty(self, place: str) -> None:
        """Nothing is kept."""
