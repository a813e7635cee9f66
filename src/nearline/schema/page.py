"""Pages of rows: what an application declares, and what the pipeline makes of it."""

from __future__ import annotations

from dataclasses import dataclass

from nearline.schema.candidates import Ranked
from nearline.schema.conditions import Condition


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a page: a titled list. Without source, list and filter it has whatever suits the visitor best.

    Attributes:
        title: `{title}` stands for the item that led there, and makes a row for each; `{category}` for a category, and makes
            a row for each. "" for the source's own words, or the list's title.
        source: name of the source whose items it has.
        list: name of an editorial list, whose order it keeps; "*" for each list in force.
        filter: conditions on its items, written `attribute:op:value`, such as "category:under:Film".
        size: items at most.
        least: with fewer items it is left out.
        most: rows that `{title}`, `{category}` or "*" make at most.
        fixed: it stands where it is declared and takes its items first; the others are ordered for the visitor.
        name: in impressions and answers; "" for the source's, the list's or "picked".
    """

    title: str = ""
    source: str = ""
    list: str = ""
    filter: tuple[Condition | str, ...] = ()
    size: int = 12
    least: int = 3
    most: int = 1
    fixed: bool = False
    name: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """Rows that are asked for together; no item is in two of them.

    Attributes:
        surface: where the page is; see `SURFACES`.
        most: rows answered at most.
    """

    rows: tuple[Row, ...]
    surface: str = "homepage"
    most: int = 12


@dataclass(frozen=True, slots=True)
class Shelf:
    """A row filled for one visitor.

    Attributes:
        row: as declared.
        ranked: its items, in order; `candidates.source` and `because` are the row's own.
        because: slot of the item that led there, where the row is about one, else -1.
        category: key of the category that it is about, 0 for none.
        name: of its editorial list, "" for none.
        title: of its editorial list.
    """

    row: Row
    ranked: Ranked
    because: int = -1
    category: int = 0
    name: str = ""
    title: str = ""
