"""Full lists per second per core through HTTP, and their tail at 70 % of that rate.

The server has one core, this loader the other. Every list is made anew (there is no list cache) for one of
the shop's users after the other, and leaves its impression in the log.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import msgspec

from benchmarks.hiccups import hiccups
from benchmarks.loader import Connection, Load, Make, closed_loop, get, open_loop
from benchmarks.server import LOADER, SERVER, Server, serving
from benchmarks.table import Row, percentile, say, show, spread
from benchmarks.world import Bench, arguments, make

COMMAND = "python -m benchmarks.serving"
CONNECTIONS = 8


def lists(bench: Bench) -> Make:
    """Return requests for lists of the shop's users in turn."""
    requests = [get(f"/v1/recommendations?user_id={user}") for user in bench.users]
    return lambda n: requests[n % len(requests)]


def served_from(status: int, data: bytes) -> str:
    """Return what a list was served from; for another status, that."""
    if status != 200:
        return str(status)
    begin = data.rfind(b'"served_from":"') + 15
    word = data[begin : data.find(b'"', begin)].decode()
    return word + " (components missing)" if b'"missing":' in data[begin:] else word


def examine(server: Server, bench: Bench, n: int = 30) -> str:
    """Ask some lists with their trace; return what they are made of, in words."""
    candidates, features, items, late = [], [], [], Counter[str]()
    reasons = 0
    connection = Connection(server.port)
    for user in bench.users[:n]:
        _, data = connection.ask(get(f"/v1/recommendations?user_id={user}&debug=true"))
        body = msgspec.json.decode(data[data.find(b"\r\n\r\n") + 4 :])
        trace = body["trace"]
        late[body["served_from"]] += 1
        candidates.append(trace["candidates"])
        # Only finite values are in the trace, so a feature counts when any served item has it.
        features.append(len({name for values in trace.get("features", {}).values() for name in values}))
        items.append(len(body["items"]))
        reasons += sum(bool(item["explanation"]["reason"]) for item in body["items"])
    connection.sock.close()
    middle = spread(candidates)
    return (
        f"{n} traces: {middle.text()} candidates ranked, {max(features)} features, "
        f"{spread(items).text()} items ({reasons / max(1, sum(items)):.0%} with a reason), {dict(late)}"
    )


def purity(loads: list[Load]) -> tuple[float, Counter[str]]:
    """Return the share of responses served from the ranker whole, and all words counted."""
    words: Counter[str] = sum((load.words for load in loads), Counter())
    return words["ranker"] / max(1, sum(words.values())), words


def run(folder: Path, repeats: int, seconds: float, share: float = 0.7, connections: int = CONNECTIONS) -> list[Row]:
    """Measure both rows."""
    bench = make(folder)
    bench = bench.copy(folder / "work-serving")
    before_all = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {LOADER})
    requests = lists(bench)
    with serving(bench.folder) as server:
        closed_loop(server.port, requests, connections, 2.0)
        say(examine(server, bench))
        loads = []
        for _ in range(repeats):
            before = server.cpu()
            load = closed_loop(server.port, requests, connections, seconds, look=served_from)
            spent = server.cpu() - before
            say(
                f"closed loop, {connections} connections: {load.rate:,.0f} lists/s, "
                f"server's core {spent / (seconds + 1.0):.0%} busy, "
                f"{spent / load.answered * 1e6:,.0f} µs of it per list, "
                f"p50 {percentile(load.latencies, 0.5) * 1e3:.1f} ms, {dict(load.words)}"
            )
            loads.append(load)
        full = spread([load.rate for load in loads])
        pure, words = purity(loads)
        rate, raw, clean, middle, tails = full.median * share, [], [], [], []
        for repeat in range(repeats):
            with hiccups((SERVER, LOADER)) as found:
                load = open_loop(server.port, requests, rate, max(seconds, 5.0), look=served_from, seed=7 + repeat)
            late = load.latencies
            spared = found.spared(load.due, load.done)
            kept = [seconds for seconds, fine in zip(late, spared, strict=True) if fine]
            middle.append(percentile(late, 0.5) * 1e3)
            raw.append(percentile(late, 0.99) * 1e3)
            clean.append(percentile(kept, 0.99) * 1e3)
            tails.append(load)
            say(
                f"open loop, {rate:,.0f}/s: p50 {middle[-1]:.2f} ms, p99 {raw[-1]:.2f} ms raw, "
                f"{clean[-1]:.2f} ms without {1 - len(kept) / max(1, len(late)):.1%} that met stalls "
                f"({found.text()}; "
                f"real time {found.real}; loader late {load.late}), {dict(load.words)}"
            )
        pure_tail, words_tail = purity(tails)
    os.sched_setaffinity(0, before_all)
    if pure < 0.999 or pure_tail < 0.999:
        say(f"WARNING: not all lists are full ones: closed {pure:.2%}, open {pure_tail:.2%}")
    say(f"served from: closed {dict(words)}, open {dict(words_tail)}")
    tail = (
        f"{spread(raw).text('.1f')} · {spread(clean).text('.1f')} ms; p50 {spread(middle).median:.1f} ms; {pure_tail:.2%} full"
    )
    return [
        Row(
            "full lists/s, one core, through HTTP",
            f"{full.text()}; {pure:.2%} full",
            "1,000",
            "2,000",
            COMMAND,
        ),
        Row(
            f"the same at {share:.0%} ({rate:,.0f}/s), open loop: p99 raw · without the machine's stalls",
            tail,
            "< 15 ms",
            "< 10 ms",
            COMMAND,
        ),
    ]


def main() -> None:
    """Run it alone."""
    parser = arguments(__doc__)
    parser.add_argument("--share", type=float, default=0.7, help="share of the full rate for the tail")
    parser.add_argument("--connections", type=int, default=CONNECTIONS, help="of the closed loop")
    o = parser.parse_args()
    show(run(o.folder, o.repeats, o.seconds, o.share, o.connections))


if __name__ == "__main__":
    main()
