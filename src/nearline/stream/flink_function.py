"""The function that Flink's Python workers call with batches of messages: from their columns to our code."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pyflink.table.udf import ScalarFunction

from nearline.app.sections import Settings

TIMEOUT = 5.0
"""Seconds that the store may take for a batch."""


class FoldEvents(ScalarFunction):  # type: ignore[misc]
    """Folds messages; each partition's are in order, and all of a partition come to one worker.

    Args:
        app: file of the application; each worker loads it.
        settings: the deployment.
        name: of the tenant.
    """

    def __init__(self, app: Path, settings: Settings, name: str) -> None:
        self._app, self._settings, self._name = app, settings, name

    def is_deterministic(self) -> bool:
        """Keep the planner from calling it where it thinks that nobody looks."""
        return False

    def open(self, context: Any) -> None:
        """Connect; partitions are taken over when their first message comes."""
        # Flink's workers put a `print` of their own into its place, and Numba wants to find it where it says that it is.
        setattr(sys.modules[builtins.print.__module__], "print", builtins.print)  # noqa: B010
        from nearline.app.load import load_app
        from nearline.app.tenant import Tenant
        from nearline.stream.partitions import PartitionsFolder

        tenant = Tenant(load_app(self._app), self._settings, self._name)
        self._log, self._store = tenant.log(read_only=True), tenant.user_rows(TIMEOUT)
        self._folder = PartitionsFolder(tenant, self._log, self._store)

    def eval(self, partitions: Any, offsets: Any, times: Any, messages: Any) -> Any:
        """Fold messages and return their offsets, once they are in the rows; all are pandas' series, `[n]`."""
        from nearline.stores.log import Page, pages_of
        from nearline.stores.messages import decode_messages

        numbers, places = partitions.to_numpy(), offsets.to_numpy()
        came, texts = times.to_numpy("datetime64[ms]").astype(np.int64).tolist(), messages.tolist()
        pages: list[Page] = []
        for number in np.unique(numbers).tolist():
            own = np.flatnonzero(numbers == number)
            records = decode_messages([texts[place] for place in own.tolist()], [came[place] for place in own.tolist()])
            pages += pages_of("user_events", number, places[own].tolist(), records)
        self._folder.follow(pages)
        return pd.Series(places)

    def close(self) -> None:
        """Let go of connections."""
        self._store.close()
        self._log.close()
