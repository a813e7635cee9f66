"""From a finished run to a page: each row a list of its own, with its title, its reasons and its impression."""

from __future__ import annotations

import secrets

import msgspec

from nearline.app.explanations import PICKED
from nearline.pipeline.pipeline import Pipeline
from nearline.pipeline.run import Run
from nearline.schema.event import Record
from nearline.schema.page import Shelf
from nearline.schema.served import ServedPage, ServedRow
from nearline.serving.recommender import Recommender
from nearline.serving.wording import Saying


class _Picked:
    name, reason, template = "picked", PICKED, "Picked for you"


class Pages:
    """Turns finished runs into pages."""

    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender

    def finish(self, run: Run, pipeline: Pipeline) -> tuple[ServedPage, list[Record]]:
        """Return the page and the impressions to log, one a row."""
        rows: list[ServedRow] = []
        records: list[Record] = []
        served_from, missing = run.served_from, tuple(run.missing)
        for shelf in run.shelves or ():
            name = self._name(shelf)
            query = msgspec.structs.replace(run.query, row=name, page_size=shelf.row.size, rows=None, limits=False)
            own = Run(query, run.n_sources, user=run.user, version=run.version, offset=run.offset, exact=run.exact)
            own.ranked, own.served_from, own.missing = shelf.ranked, run.served_from, run.missing
            served, record = self._recommender.finish(own, pipeline)
            rows.append(ServedRow(name, self._title(shelf, run, pipeline), served.request_id, served.items))
            records += [] if record is None else [record]
        if not rows:
            # Late, or too little for any row: one row of what there is.
            run.query = msgspec.structs.replace(run.query, row=_Picked.name, rows=None)
            served, record = self._recommender.finish(run, pipeline)
            served_from = served.served_from
            if served.items:
                title = self._said(_Picked(), run) if run.ranked is not None else served.items[0].explanation.reason
                rows.append(ServedRow(_Picked.name, title, served.request_id, served.items))
                records += [] if record is None else [record]
        page = ServedPage(
            secrets.token_hex(12), run.query.page, rows, pipeline.release or "none", served_from, run.offset, missing
        )
        return page, records

    def _name(self, shelf: Shelf) -> str:
        return shelf.row.name or shelf.row.source or shelf.name or _Picked.name

    def _title(self, shelf: Shelf, run: Run, pipeline: Pipeline) -> str:
        row, catalog = shelf.row, self._recommender.world.catalog
        if row.list:
            return row.title or shelf.title or self._said(self._source(pipeline, "editorial"), run)
        if not row.title:
            return self._said(self._source(pipeline, row.source), run, shelf.because)
        category = catalog.names.get(shelf.category, "").rpartition(" > ")[2]
        return row.title.replace("{category}", category).replace("{title}", self._recommender.title(shelf.because))

    def _source(self, pipeline: Pipeline, name: str) -> Saying:
        return next((source for source in pipeline.sources if source.name == name), _Picked())

    def _said(self, source: Saying, run: Run, because: int = -1) -> str:
        assert run.user is not None
        return self._recommender.reasons([source], [because], [-1], run.user, run.query.locale)[0].reason
