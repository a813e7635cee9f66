"""Rows that an import leaves out: how many by reason, and the first of each to look at."""

from __future__ import annotations

from dataclasses import dataclass

MOST_EXAMPLES = 3
_LONGEST = 60


@dataclass(frozen=True, slots=True)
class Example:
    """A row that was left out.

    Attributes:
        file: its name.
        row: in that file, from 1, the header counted.
        field: the column that made no sense, "" where it is the whole row.
        value: what it said, shortened; "" for nothing.
    """

    file: str
    row: int
    field: str
    value: str


class Dropped(dict[str, int]):
    """Reason to number of rows; a row counts once, under the first reason that fits.

    Attributes:
        examples: reason to the first rows, at most `MOST_EXAMPLES`.
    """

    def __init__(self, counts: dict[str, int] | None = None) -> None:
        super().__init__(counts or {})
        self.examples: dict[str, list[Example]] = {}

    def add(self, reason: str, count: int, examples: list[Example]) -> None:
        """Count rows; examples beyond the first few are forgotten."""
        if count:
            self[reason] = self.get(reason, 0) + count
            shown = self.examples.setdefault(reason, [])
            shown += examples[: MOST_EXAMPLES - len(shown)]


def shortened(value: object) -> str:
    """Return a value as an example shows it."""
    text = "" if value is None else str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
