"""A real Chromium for the tests of the page: one that is installed, else one that is installed now."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from playwright.sync_api import Browser, Playwright, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
)  # fmt: skip
WAYS = (
    [sys.executable, "-m", "playwright", "install", "chromium"],
    ["apt-get", "install", "-y", "--no-install-recommends", "chromium"],
)


def _found(playwright: Playwright) -> str:
    """Return the path of an installed browser, "" for none."""
    named = os.environ.get("TEST_BROWSER") or next(filter(None, map(shutil.which, NAMES)), "")
    own = playwright.chromium.executable_path
    return named or (own if os.path.exists(own) else "")


@cache
def _install() -> None:
    """Try the browser's own download, then the system's packages where this user may install them."""
    for command in WAYS:
        if command[0] == "apt-get" and (os.geteuid() != 0 or not shutil.which("apt-get")):
            continue
        try:
            done = subprocess.run(command, capture_output=True, timeout=240)
        except subprocess.TimeoutExpired:
            continue
        if done.returncode == 0:
            return


@contextmanager
def chromium() -> Iterator[Browser | None]:
    """Start a browser; `None` where none can be had."""
    with sync_playwright() as playwright:
        path = _found(playwright)
        if not path:
            _install()
            path = _found(playwright)
        if not path:
            yield None
            return
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()
