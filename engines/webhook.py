"""A real HTTP server that takes results; it can refuse, fail, hang and be gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec

from nearline.schema.result import Result


class Webhook:
    """Listens on loopback while it is up.

    Attributes:
        status: that it answers; by user where `by_user` names one.
        got: what it answered 2xx, in order, with the headers of the last in `headers`.
        hangs: seconds before it answers.
        drops: whether it closes each connection after an answer, without having said so.
        asked: posts that came.
    """

    def __init__(self) -> None:
        self.status, self.by_user, self.hangs, self.drops, self.asked = 204, {}, 0.0, False, 0
        self.got: list[Result] = []
        self.port = 0
        self._server: ThreadingHTTPServer | None = None
        self.start()

    by_user: dict[str, int]
    headers: Mapping[str, str]

    @property
    def url(self) -> str:
        """For `[publish] to`, with a password and a parameter that must be in no line."""
        return f"http://who:p%40ss@127.0.0.1:{self.port}/lists?key=1"

    def start(self) -> None:
        """Listen, on the port of before."""
        hook = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                hook.asked += 1
                body = self.rfile.read(int(self.headers["Content-Length"]))
                time.sleep(hook.hangs)
                result = msgspec.json.decode(body, type=Result)
                status = hook.by_user.get(result.user_id, hook.status)
                if 200 <= status < 300:
                    assert self.path == "/lists?key=1"
                    hook.headers = dict(self.headers)
                    hook.got.append(result)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()
                self.close_connection = hook.drops

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, *_: object) -> None:
                """Whoever asked has gone."""

        self._server = Quiet(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Close the port; connections that are open stay."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
