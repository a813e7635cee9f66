"""Similar items per second per core, through HTTP: 20 items like a random one, for a known user."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.loader import closed_loop, get
from benchmarks.server import LOADER, serving
from benchmarks.table import Row, percentile, say, show, spread
from benchmarks.world import arguments, make

COMMAND = "python -m benchmarks.similar"


def run(folder: Path, repeats: int, seconds: float, diversity: float = 0.0) -> list[Row]:
    """Measure the row."""
    bench = make(folder).copy(folder / "work-similar")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {LOADER})
    ask = f"&diversity={diversity}" if diversity else ""
    requests = [
        get(f"/v1/items/{item}/similar?user_id={bench.users[n % len(bench.users)]}&limit=20{ask}")
        for n, item in enumerate(bench.items)
    ]
    # A step that has no factor in common with the number of items, so that neighbours are apart.
    step = 7_919
    rates = []
    with serving(bench.folder) as server:
        for _ in range(repeats):
            cpu = server.cpu()
            load = closed_loop(server.port, lambda n: requests[n * step % len(requests)], 8, seconds)
            spent = server.cpu() - cpu
            tail = percentile(load.latencies, 0.99) * 1e3
            words = dict(load.words)
            say(
                f"similar: {load.rate:,.0f}/s, p99 {tail:.1f} ms, {words}, "
                f"server's core {spent / (seconds + 1.0):.0%} busy, "
                f"{spent / load.answered * 1e6:,.0f} µs of it each"
            )
            rates.append(load.rate)
    os.sched_setaffinity(0, before)
    return [Row("similar items/s, one core, through HTTP", spread(rates).text(), "4,000", "8,000", COMMAND)]


def main() -> None:
    """Run it alone."""
    parser = arguments(__doc__)
    parser.add_argument("--diversity", type=float, default=0.0, help="similarity traded for variety, 0 to 1")
    o = parser.parse_args()
    show(run(o.folder, o.repeats, o.seconds, o.diversity))


if __name__ == "__main__":
    main()
