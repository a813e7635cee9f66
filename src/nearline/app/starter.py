"""The files that `nearline init` writes: an application for a shop, and all settings."""

from __future__ import annotations

from pathlib import Path

from nearline.app.settings_text import settings_toml
from nearline.schema.errors import NearlineError

STARTER_APP = '''\
"""A shop. Run it with `nearline serve`; settings are in nearline.toml."""

from nearline import App, Category, EventType, Number, Suppression, Tags

app = App(
    name="shop",
    # What visitors do. A bare name has its usual meaning; declare a type to change it, or to add your own.
    events=[
        "seen",  # an item came into view: what was shown and passed over teaches most
        "view",
        "click",
        "add_to_cart",
        EventType(
            "purchase",
            weight=8,  # how much it says about a visitor's taste, next to a click's 2
            role="conversion",  # exposure, view, click, intent, conversion, negative, search or none
            outcome=True,  # its probability is predicted, and counts in the score
            suppresses=(Suppression("item", days=30),),  # not shown again to that visitor for 30 days
        ),
        "search",
        "dislike",
        "return",
    ],
    # What your items have beyond title, category, brand, price, tags and created_at.
    attributes={
        "color": Category(),
        "material": Tags(),
        "stock": Number(source_field="stock_level"),  # the name of the field in your data
    },
    # How much each outcome counts in the score; without this line, its event's weight.
    weights={"click": 1.0, "purchase": 8.0},
    # Features, sources, ranker and rules: leave them out for good defaults, or list your own.
)
'''


def starter_files() -> dict[str, str]:
    """Return the text of each file by name."""
    return {"app.py": STARTER_APP, "nearline.toml": settings_toml()}


def write_starter(folder: Path | str) -> tuple[Path, ...]:
    """Write the starter into a folder, made when it is missing, and return the files.

    Raises:
        NearlineError: a file is there already (then none is written), or the folder can't be written.
    """
    place, files = Path(folder), starter_files()
    there = [name for name in files if (place / name).exists()]
    if there:
        remedy = "choose another folder, or move these files away; nothing was written"
        raise NearlineError(str(place), there, remedy)
    try:
        place.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            with (place / name).open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
    except OSError as error:
        raise NearlineError(str(place), error.strerror, "choose a folder that you may write to") from error
    return tuple(place / name for name in files)
