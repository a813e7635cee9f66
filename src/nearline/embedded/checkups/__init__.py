"""What is looked at, one file a subject: `look(system)` yields findings; a new file is found by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from nearline.stores.finding import Finding

Checkup = Callable[[Any], Iterator[Finding]]
