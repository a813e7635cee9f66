"""Waiting for a store that may hang: for so long, and on a thread that keeps nobody from ending."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from nearline.schema.errors import StoreUnavailableError

T = TypeVar("T")


async def beside(act: Callable[[], T]) -> T:
    """Return what a call returns, on a thread of its own: neither the loop's others nor a process that ends wait for it."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # who waits no longer does not cancel it

    def run() -> None:
        try:
            future.set_result(act())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True, name="beside").start()
    return await asyncio.wrap_future(future)


async def within(seconds: float, act: Callable[[], T]) -> T:
    """Return what a call returns within `seconds`; a later one goes on alone.

    Raises:
        StoreUnavailableError: it took longer.
    """
    try:
        return await asyncio.wait_for(beside(act), seconds)
    except TimeoutError as error:
        raise StoreUnavailableError(f"no answer within {seconds:g} s") from error
