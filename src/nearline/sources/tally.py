"""Summing what speaks for each item, and the memory that a thread keeps for it between requests."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from nearline.schema.candidates import F32, I32, Retrieved
from nearline.schema.kernel import inline
from nearline.schema.top import head

ROWS = 10
"""Rows of a thread's scratch, by item: place, item, sum, strongest part (2), keys (2), spare keys (2), scores.

Between calls the place, the sum and the strongest part are 0.
"""
_kept = threading.local()


def scratch(n: int) -> I32:
    """Return this thread's scratch for n different items, `[ROWS * room] int32` with an even room."""
    found: I32 | None = getattr(_kept, "scratch", None)
    if found is None or len(found) < ROWS * (n + 1):
        found = _kept.scratch = np.zeros(ROWS * (n + n // 2 + 64 & ~1), np.int32)
    return found


def room_for(limit: int, n: int) -> Retrieved:
    """Return arrays for at most `limit` of n items, to be filled and cut to what was found."""
    size = max(0, min(limit, n))
    return Retrieved(np.empty(size, np.int32), np.empty(size, np.float32), np.empty(size, np.int32))


def first(found: Retrieved, n: int) -> Retrieved:
    """Return the first n of what was found."""
    return found if n == len(found.items) else Retrieved(found.items[:n], found.scores[:n], found.because[:n])


@inline
def keys_of(memory: I32) -> Any:
    """Return the scratch's room for keys and for sorting them."""
    room = len(memory) // ROWS
    return memory[5 * room : 7 * room].view(np.uint64), memory[7 * room : 9 * room].view(np.uint64)


@inline
def tally(memory: I32, n: int, items: I32, parts: F32, count: int, reason: int) -> int:
    """Add parts to the sums of items; return how many different items there are now.

    What is dense, in order of first coming, is zero from n on. No branches, since none could be guessed.

    Args:
        memory: the scratch.
        n: how many different items there were.
        items, parts: what to add to which; the first `count` of them.
        reason: 0..255; the one with an item's strongest part wins, the lowest of equal ones.
    """
    room = len(memory) // ROWS
    where, known, total = memory[:room].view(np.uint32), memory[room : 2 * room], memory[2 * room : 3 * room].view(np.float32)
    lead, bits = memory[3 * room : 5 * room].view(np.uint64), parts.view(np.uint32)
    end = np.uint64(n + 1)
    low = np.uint64(255 - reason)
    for i in range(count):
        item = np.uint32(items[i])
        held = np.uint64(where[item])
        known[end] = item
        place = max(held, end * np.uint64(held == 0))
        where[item] = place
        end += np.uint64(held == 0)
        total[place] += parts[i]
        # Positive floats sort as their bits do, so one integer holds the part and what it came from.
        lead[place] = max(lead[place], (np.uint64(bits[i]) << np.uint64(32)) | low)
    return int(end) - 1


@inline
def take(memory: I32, n: int, reasons: I32, out_items: I32, out_scores: F32, out_because: I32) -> int:
    """Write the best of the n tallied items, best first, and clear the scratch; return how many were written."""
    room = len(memory) // ROWS
    where, known, total = memory[:room], memory[room + 1 : 2 * room], memory[2 * room + 1 : 3 * room].view(np.float32)
    lead = memory[3 * room : 5 * room].view(np.uint64)[1:]
    keys, spare = keys_of(memory)
    found, count = head(total[:n], len(out_items), keys, spare)
    for j in range(count):
        place = found[j] & np.uint64(0xFFFFFFFF)
        out_items[j], out_scores[j] = known[place], total[place]
        out_because[j] = reasons[np.uint64(255) - (lead[place] & np.uint64(255))]
    for j in range(n):
        where[known[j]] = 0
    total[:n] = 0
    lead[:n] = 0
    return int(count)
