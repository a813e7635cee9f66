"""When a history is fitted, taught and judged on."""

from __future__ import annotations

import numpy as np

from nearline.app.sections import Train
from nearline.batch.splitting import before, split_times
from nearline.schema.clock import DAY
from nearline.schema.event import empty_events


def test_a_stray_event_long_before_leaves_something_to_fit_on() -> None:
    events = empty_events(5_000)
    now = 1_700_000_000_000
    events["ts"] = now - (9 * DAY * np.arange(5_000)[::-1]) // 5_000
    clean = split_times(events, Train(), order_only=False)
    events["ts"][0] = now - 82 * DAY
    for days in (30, 90):
        stray = split_times(events, Train(days=days, evaluate_days=7 * days // 30), order_only=False)
        assert abs(stray.fitted - clean.fitted) < DAY / 10
        assert stray.fitted < stray.taught < stray.end == now
        assert 0.4 < before(events, stray.fitted).mean() < 0.7


def test_a_long_history_is_judged_on_its_last_days() -> None:
    events = empty_events(1_000)
    events["ts"] = 1_700_000_000_000 + DAY * np.arange(1_000) // 10
    times = split_times(events, Train(days=30, evaluate_days=7, events=0), order_only=False)
    assert (times.end - times.taught, times.taught - times.fitted) == (7 * DAY, 7 * DAY)
    assert times.begin == times.end - 30 * DAY
    # Fitting goes back as far as it needs to, and no window moves.
    for least, days in ((200, 30), (500, 50), (5_000, 100)):
        more = split_times(events, Train(days=30, evaluate_days=7, events=least), order_only=False)
        assert (more.fitted, more.taught, more.end) == (times.fitted, times.taught, times.end)
        assert abs((more.end - more.begin) / DAY - days) < 0.2
