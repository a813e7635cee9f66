"""Whole item-item models, 16 bits an entry: asked with the recent items by adding up rows, of one model or of several."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nearline.schema.candidates import F32, I32
from nearline.schema.components import Arrays
from nearline.schema.kernel import f4, i2, i4, kernel
from nearline.schema.top import head
from nearline.sources.row_map import row_at
from nearline.sources.tally import ROWS, keys_of

MOST = 32_767


def packed(model: F32) -> tuple[NDArray[np.int16], F32]:
    """Return models' rows in units of their own, `[n_models, n, n] int16`, and the units, `[n_models, n] float32`.

    Args:
        model: `[n_models, n, n] float32`.
    """
    units = np.maximum(np.abs(model).max(axis=2), 1e-12).astype(np.float32) / MOST
    return np.rint(model / units[..., None]).astype(np.int16), units


def unpacked(arrays: Arrays) -> tuple[NDArray[np.int16], F32]:
    """Return the `model` and `units` of a release as `packed` made them; one model may stand without its first axis."""
    n = len(arrays["keys"])
    model = np.ascontiguousarray(arrays["model"], np.int16).reshape(-1, n, n)
    return model, np.ascontiguousarray(arrays["units"], np.float32).reshape(-1, n)


@kernel(i4[::1], f4[:, ::1], i4[::1], i2[:, :, ::1], f4[:, ::1], i4[::1], i4[::1], i4[::1], f4[::1], i4[::1])
def ask(
    recent: I32,
    decay: F32,
    row_of: I32,
    model: NDArray[np.int16],
    units: F32,
    slots: I32,
    memory: I32,
    items: I32,
    scores: F32,
    because: I32,
) -> int:
    """Sum what the recent items say of each item, write the best, best first; return how many.

    Args:
        recent: slots, newest first, `[m] int32`.
        decay: weight of each by model, `[n_models, at least m] float32`.
        row_of: row of each slot, -1 for none.
        model, units: see `packed`.
        slots: of each row, -1 for an item that is not here.
        memory: see `tally.scratch`.
        items, scores, because: filled.
    """
    n, room = len(slots), len(memory) // ROWS
    total = memory[9 * room : 9 * room + n].view(np.float32)
    total[:] = 0.0
    for j in range(len(recent)):
        row = row_at(row_of, recent[j])
        for which in range(len(model) if row >= 0 else 0):
            if decay[which, j] > 0.0:
                own, scale = model[which, row], decay[which, j] * units[which, row]
                for i in range(n):
                    total[i] += scale * np.float32(own[i])
    for i in range(n):
        if slots[i] < 0:
            total[i] = 0.0
    keys, spare = keys_of(memory)
    found, count = head(total, len(items), keys, spare)
    for k in range(count):
        place = found[k] & np.uint64(0xFFFFFFFF)
        items[k], scores[k], because[k] = slots[place], total[place], -1
    # Who found it: the recent item that says most of it.
    most = memory[8 * room : 8 * room + count].view(np.float32)
    most[:] = 0.0
    for j in range(len(recent)):
        row = row_at(row_of, recent[j])
        for k in range(count if row >= 0 else 0):
            part, place = np.float32(0.0), row_of[items[k]]
            for which in range(len(model)):
                if decay[which, j] > 0.0:
                    part += decay[which, j] * units[which, row] * np.float32(model[which, row, place])
            if part > most[k]:
                most[k], because[k] = part, recent[j]
    return int(count)


@kernel(i4[::1], f4[:, :, ::1], i4[::1], i2[:, :, ::1], f4[:, ::1], i4[::1], f4[:, ::1])
def told(recent: I32, decays: F32, row_of: I32, model: NDArray[np.int16], units: F32, items: I32, out: F32) -> None:
    """Sum what the recent items say of given items, once for each way to weigh them.

    Args:
        recent: slots, newest first, `[m] int32`.
        decays: weight of each, by way and model, `[n_ways, n_models, at least m] float32`.
        row_of, model, units: see `ask`.
        items: slots, `[n] int32`.
        out: `[n_ways, n] float32`, filled.
    """
    n, ways = len(items), len(decays)
    place, said = np.empty(n, np.int32), np.empty(n, np.float32)
    for i in range(n):
        place[i] = row_at(row_of, items[i])
    out[:] = 0.0
    for j in range(len(recent)):
        row = row_at(row_of, recent[j])
        for which in range(len(model) if row >= 0 else 0):
            if decays[:, which, j].max() <= 0.0:
                continue
            own, scale = model[which, row], units[which, row]
            for i in range(n):
                said[i] = scale * np.float32(own[max(place[i], 0)]) if place[i] >= 0 else np.float32(0.0)
            for way in range(ways):
                weight = decays[way, which, j]
                if weight > 0.0:
                    for i in range(n):
                        out[way, i] += weight * said[i]
