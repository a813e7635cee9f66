"""All benchmarks, one table. `make bench` runs this with short defaults; figures of record want --full."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks import freshness, ingest, movielens, profile_list, replay, rules, serving, similar
from benchmarks.table import Row, machine, markdown, say
from benchmarks.world import arguments, make


def main() -> None:
    """Run them in turn; one that fails leaves a row that says so."""
    parser = arguments(__doc__)
    parser.add_argument("--only", nargs="*", default=[], help="names of the programs to run, such as serving")
    ingest.add_events(parser)
    movielens.add_data(parser)
    o = parser.parse_args()
    make(o.folder)
    events = ingest.FULL if o.full else ingest.SHORT
    programs: dict[str, Callable[[], list[Row]]] = {
        "profile_list": partial(profile_list.run, o.folder),
        "rules": partial(rules.run, o.folder),
        "serving": partial(serving.run, o.folder, o.repeats, o.seconds),
        "similar": partial(similar.run, o.folder, o.repeats, o.seconds),
        "freshness": partial(freshness.run, o.folder, o.repeats, o.seconds),
        "ingest": partial(ingest.run, o.folder, o.repeats, o.seconds, events),
        "replay": partial(replay.run, o.folder, o.repeats, replay.FULL if o.full else replay.SHORT),
        "movielens": partial(movielens.run, o.folder, min(o.repeats, 3 if o.full else 1), o.data),
    }
    rows: list[Row] = []
    for name, program in programs.items():
        if o.only and name not in o.only:
            continue
        say(f"\n== {name}")
        try:
            rows += program()
        except (SystemExit, Exception) as error:
            say(f"{name} failed: {error!r}")
            rows.append(Row(name, "failed", "", "", f"python -m benchmarks.{name}"))
    print(f"\n{machine()}\n\n{markdown(rows)}")


if __name__ == "__main__":
    main()
