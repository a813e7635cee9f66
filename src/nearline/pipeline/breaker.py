"""Circuit breakers: a component that keeps failing is skipped for a while."""

from __future__ import annotations

import time


class Breakers:
    """One breaker per component name.

    Args:
        failures: failures in a row after which a component is skipped.
        seconds: for how long; then one request may try it again.
    """

    def __init__(self, failures: int = 3, seconds: float = 30.0) -> None:
        self.failures, self.seconds = failures, seconds
        self._count: dict[str, int] = {}
        self._until: dict[str, float] = {}
        self._stuck: dict[str, int] = {}

    @property
    def busy(self) -> bool:
        """Whether any component has failed of late: where none has, there is nothing to ask."""
        return bool(self._count or self._until or self._stuck)

    def open(self, name: str) -> bool:
        """Return whether the component is to be skipped now."""
        if name in self._stuck and self._stuck[name] >= self.failures:
            # So many threads have not come back from it; one more would be lost too.
            return True
        until = self._until.get(name)
        if until is None:
            return False
        if time.monotonic() < until:
            return True
        # Half open: one more failure closes the way again at once.
        self._until.pop(name, None)
        self._count[name] = self.failures - 1
        return False

    def shut(self) -> set[str]:
        """Return the components that are skipped now or hold a thread."""
        return set(self._until) | {name for name, threads in self._stuck.items() if threads}

    def failed(self, name: str) -> None:
        """Count a failure."""
        self._count[name] = count = self._count.get(name, 0) + 1
        if count >= self.failures:
            self._until[name] = time.monotonic() + self.seconds

    def hangs(self, name: str) -> None:
        """Count a failure that holds a thread."""
        self._stuck[name] = self._stuck.get(name, 0) + 1
        self.failed(name)

    def returned(self, name: str) -> None:
        """Count a thread that came back from where it hung."""
        self._stuck[name] -= 1

    def worked(self, name: str) -> None:
        """Forget past failures."""
        if name in self._count:
            self._count.pop(name, None)
