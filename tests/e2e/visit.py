"""A tab of a browser on the page at `/`, and pictures of it.

`SCREENSHOTS=1` writes the pictures of docs/images; Pillow, where it is installed, makes them small.
"""

from __future__ import annotations

import io
import os
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, ViewportSize
from server_process import Server

IMAGES = Path(__file__).parents[2] / "docs" / "images"
LARGEST = 150_000
"""Bytes of a picture of the docs."""
WIDE, PHONE = ViewportSize(width=1380, height=900), ViewportSize(width=390, height=844)
PATIENT = {"BUDGET_TOTAL_MS": 9000, "BUDGET_CANDIDATES_MS": 2000, "BUDGET_FEATURES_MS": 2000, "BUDGET_RULES_MS": 2000}


class Visit:
    """One tab: what went wrong in it, and whom it asked."""

    def __init__(self, browser: Browser, server: Server, **given: Any) -> None:
        self.base = f"http://127.0.0.1:{server.port}/"
        self.context = browser.new_context(**given)
        self.context.set_default_timeout(60_000)
        self.page: Page = self.context.new_page()
        self.errors: list[str] = []
        self.strangers: list[str] = []
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on(
            "request", lambda asked: None if asked.url.startswith((self.base, "data:")) else self.strangers.append(asked.url)
        )

    def open(self, where: str = "") -> Page:
        self.page.goto(self.base + where)
        return self.page

    def ids(self) -> list[str]:
        found: list[str] = self.page.locator(".card").evaluate_all("cards => cards.map(card => card.dataset.item)")
        return found

    def close(self) -> None:
        self.context.close()
        assert not self.errors
        assert not self.strangers


def until(page: Page, expression: str, arg: object = None) -> None:
    """Wait until an expression is true in the page; asked from outside: the page's policy forbids to evaluate text."""
    end = time.monotonic() + 60
    while not page.evaluate(expression, arg):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(50)


def shoot(page: Page, name: str) -> None:
    """Write a picture for the docs, where it was asked for."""
    if os.environ.get("SCREENSHOTS"):
        page.wait_for_timeout(900)
        picture = page.screenshot()
        try:
            from PIL import Image  # type: ignore[import-not-found,unused-ignore]
        except ImportError:
            pass
        else:
            whole = Image.open(io.BytesIO(picture)).convert("RGB")
            for colours in (224, 128, 64):
                out, few = io.BytesIO(), whole.quantize(colours, Image.Quantize.MAXCOVERAGE, 1)
                whole.quantize(palette=few, dither=Image.Dither.FLOYDSTEINBERG).save(out, "PNG", optimize=True)
                if len(picture := out.getvalue()) <= LARGEST:
                    break
        IMAGES.mkdir(exist_ok=True)
        (IMAGES / f"{name}.png").write_bytes(picture)
