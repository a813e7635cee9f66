"""The code in the how-to pages: JavaScript runs in node where that is installed, and Python names what there is."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import nearline.client

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
BROWSER = """
const sent = [], handlers = {}, timers = [];
let answers = [{ status: 503, headers: { get: () => "1" } }, { status: 202 }], observed;
const listen = (name, act) => { handlers[name] = act; };
Object.assign(globalThis, {
  document: { visibilityState: "visible", addEventListener: listen }, addEventListener: listen,
  fetch: async (url, options) => { sent.push([url, JSON.parse(options.body), options.keepalive]); return answers.shift(); },
  Blob: class { constructor(parts) { this.text = parts.join(""); } },
  setTimeout: (act, ms) => timers.push([act, ms]), clearTimeout: () => {},
  IntersectionObserver: class { constructor(act) { observed = act; } observe() {} unobserve() {} },
});
Object.defineProperty(globalThis, "navigator", { value: {
  sendBeacon: (url, body) => sent.push([url, JSON.parse(body.text), "beacon"]) } });
"""
CHECK = """
const same = (a, b) => { if (JSON.stringify(a) !== JSON.stringify(b)) throw new Error(JSON.stringify([a, b])); };
const nearline = new Nearline("/events", { session_id: "s" }, { batch: 2 });
nearline.event("click", "a");
same(sent.length, 0);
same(timers[0][1], 2000);
nearline.event("click", "b", { request_id: "r" });
await new Promise((done) => setImmediate(done));
same(sent[0][1].map((event) => [event.session_id, event.item_id]), [["s", "a"], ["s", "b"]]);
same(nearline.queue.length, 2);  // the server was busy: they go again, as they were
await nearline.flush();
same(sent[1][1], sent[0][1]);
same(nearline.queue.length, 0);
const item = { dataset: { itemId: "c", rank: "3" }, addEventListener: () => {} };
nearline.watch({ querySelectorAll: () => [item] }, "r");
observed([{ target: item, isIntersecting: true }]);
timers.at(-1)[0]();
document.visibilityState = "hidden";
handlers.visibilitychange();
const [url, [seen], how] = sent[2];
same([url, how, seen.event_type, seen.item_id], ["/events", "beacon", "seen", "c"]);
same(seen.context, { request_id: "r", position: 3 });
"""


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (HOW_TO / page).read_text(), re.S)


def test_the_browser_module_batches_retries_and_leaves(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed; the module of docs/how-to/javascript.md was not run")
    (code,) = blocks("javascript.md", "js")
    (tmp_path / "page.mjs").write_text(BROWSER + code + CHECK)
    done = subprocess.run([node, str(tmp_path / "page.mjs")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_client_page_names_what_there_is() -> None:
    found = set()
    for block in blocks("client.md", "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module == "nearline.client":
                found |= {alias.name for alias in node.names}
    assert found <= set(nearline.client.__all__)
    text = (HOW_TO / "client.md").read_text()
    for name in re.findall(r"^\| `(\w+)\(", text, re.M):
        assert callable(getattr(nearline.client.Client, name))
        assert callable(getattr(nearline.client.AsyncClient, name))
