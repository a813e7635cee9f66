"""Files into raw columns, which remember which row of the file each of theirs is."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from nearline.batch.dropped import Dropped, Example, shortened
from nearline.batch.importers.columns import NO_TEXT, milliseconds, missing, numbers, text
from nearline.schema.errors import NearlineError

RAGGED = "wrong number of columns"
"""Reason of rows with too many or too few fields."""
BLOCK = 8 << 20
"""Bytes read at a time."""


@dataclass(frozen=True, slots=True)
class Raw:
    """Consecutive rows of a file.

    Attributes:
        file: its name.
        table: columns as they are in it.
        first: number of the first row, from 1, the header and ragged rows counted.
        ragged: (number, text) of rows among them that had a wrong number of fields, and are not in `table`.
        called: our name of a column to the file's, where they differ.
    """

    file: str
    table: pa.Table
    first: int = 1
    ragged: Sequence[tuple[int, str]] = ()
    called: Mapping[str, str] = field(default_factory=dict)

    def row(self, place: int) -> int:
        """Return the number in the file of the row at a place of the table."""
        number = self.first + place
        for ragged, _ in self.ragged:
            if ragged > number:
                break
            number += 1
        return number


def read_chunks(
    path: Path,
    names: Sequence[str],
    delimiter: str,
    *,
    header: bool = False,
    quotes: bool = False,
    include: Sequence[str] = (),
    block: int = BLOCK,
) -> Iterator[Raw]:
    """Yield a delimited file as text, a block at a time.

    Args:
        path: of the file.
        names: all its columns.
        delimiter: one character, or "::" as in the files of MovieLens, which are small enough to be read at once.
        header: whether the first row holds names, and is no data.
        quotes: whether values may be in double quotes and hold line breaks.
        include: columns to read; all when empty.
        block: bytes to read at a time.

    Raises:
        NearlineError: the file can't be read, or is not UTF-8.
    """
    ragged: list[tuple[int, str]] = []

    def skip(row: Any) -> str:
        ragged.append((row.number, row.text))
        return "skip"

    following = 1 + header
    try:
        with _open(path, delimiter) as (file, mark), pacsv.open_csv(
            file,
            # One thread, so that rows have numbers.
            pacsv.ReadOptions(column_names=list(names), skip_rows=int(header), use_threads=False, block_size=block),
            pacsv.ParseOptions(
                delimiter=mark,
                quote_char='"' if quotes else False,
                newlines_in_values=quotes,
                invalid_row_handler=skip,
            ),
            pacsv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                include_columns=list(include),
                strings_can_be_null=True,
                null_values=list(NO_TEXT),
            ),
        ) as reader:  # fmt: skip
            for batch in reader:
                table = pa.Table.from_batches([batch])
                end, among = following + table.num_rows, 0
                while among < len(ragged) and ragged[among][0] < end:  # the reader is a block ahead
                    end, among = end + 1, among + 1
                yield Raw(path.name, table, following, tuple(ragged[:among]))
                following = end
                del ragged[:among]
    except pa.ArrowInvalid as error:
        if "Empty CSV file" not in str(error):
            raise _unreadable(path, error) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    if ragged:
        yield Raw(path.name, pa.table({n: pa.array([], pa.string()) for n in include or names}), following, tuple(ragged))


def read_text(path: Path, names: Sequence[str], delimiter: str, **options: Any) -> Raw:
    """Read a whole delimited file as text; see `read_chunks` for arguments and errors."""
    chunks = list(read_chunks(path, names, delimiter, **options))
    if not chunks:
        empty = pa.table({name: pa.array([], pa.string()) for name in options.get("include") or names})
        return Raw(path.name, empty)
    table = pa.concat_tables([chunk.table for chunk in chunks])
    return Raw(path.name, table, chunks[0].first, tuple(row for chunk in chunks for row in chunk.ragged))


class _open:
    """A file to read, and the one character that parts its fields."""

    def __init__(self, path: Path, delimiter: str) -> None:
        self._path, self._delimiter = path, delimiter

    def __enter__(self) -> tuple[Any, str]:
        if len(self._delimiter) == 1:
            self._file: Any = pa.OSFile(str(self._path))
            return self._file, self._delimiter
        self._file = io.BytesIO(self._path.read_bytes().replace(self._delimiter.encode(), b"\t"))
        return self._file, "\t"

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _unreadable(path: Path, error: Exception) -> NearlineError:
    return NearlineError(str(path), str(error), "give a readable UTF-8 text file with one row a line")


class Sieve:
    """Takes columns of values off raw rows, and leaves out the rows where one makes no sense.

    A row that is wrong in several ways counts under the one asked about first.

    Args:
        raw: the rows.
        dropped: where rows left out are counted, with examples.
        tell_ragged: whether the ragged rows are counted too.
    """

    def __init__(self, raw: Raw, dropped: Dropped, tell_ragged: bool = True) -> None:
        self._raw, self._dropped = raw, dropped
        self._gone = np.zeros(raw.table.num_rows, np.bool_)
        if tell_ragged:
            dropped.add(RAGGED, len(raw.ragged), [Example(raw.file, n, "", shortened(line)) for n, line in raw.ragged[:3]])

    def has(self, field: str) -> bool:
        """Return whether there is such a column."""
        return field in self._raw.table.column_names

    def text(self, field: str, required: bool = True) -> Any:
        """Return a column as trimmed strings, null for nothing."""
        column = text(self._raw.table[field])
        if required:
            self.drop(f"no {field}", field, missing(column))
        return column

    def number(self, field: str, required: bool = False) -> Any:
        """Return a column as float64, null for nothing; rows that say something else are left out."""
        column, bad = numbers(self._raw.table[field])
        self.drop(f"bad {field}", field, missing(column) if required else bad)
        return column

    def time(self, field: str = "timestamp") -> Any:
        """Return a column as ms UTC; rows without a time are left out."""
        column = milliseconds(self._raw.table[field])
        self.drop("bad timestamp", field, missing(column))
        return column

    def drop(self, reason: str, field: str, mask: NDArray[np.bool_]) -> None:
        """Leave out rows, `mask [n] bool`, for a reason that is seen in a column."""
        raw = self._raw
        places = np.flatnonzero(mask & ~self._gone)
        said = raw.table[field] if self.has(field) else None
        examples = [
            Example(raw.file, raw.row(place), raw.called.get(field, field), shortened(said and said[place].as_py()))
            for place in places[:3].tolist()
        ]
        self._dropped.add(reason, len(places), examples)
        self._gone |= mask

    def table(self, columns: Mapping[str, Any]) -> pa.Table:
        """Return columns without the rows that were left out."""
        table = pa.table(dict(columns))
        return table.filter(pa.array(~self._gone)) if self._gone.any() else table
