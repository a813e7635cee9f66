"""What commands that run on Spark have in common."""

from __future__ import annotations

import importlib.util
from enum import StrEnum
from typing import Annotated

import typer

from nearline.schema.errors import NearlineError


class Engine(StrEnum):
    """Where batch runs."""

    local = "local"
    spark = "spark"


Master = Annotated[str, typer.Option(help="Spark: its master, such as spark://host:7077; this machine by default.")]


def need_spark() -> None:
    """Check that PySpark is there.

    Raises:
        NearlineError: it is not.
    """
    if importlib.util.find_spec("pyspark") is None:
        raise NearlineError(
            "--engine", "spark", 'PySpark is not installed: pip install "nearline[spark]"; it needs Java 17 too'
        )
