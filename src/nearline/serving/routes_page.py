"""The page at `/`: files of the package, as they are; nothing from another host."""

from __future__ import annotations

from importlib.resources import files

from nearline.serving.asgi import Call, Reply, Table
from nearline.serving.engine_port import EnginePort
from nearline.serving.problems import not_found

PAGE, FILE = "/", "/page/{name}"
_KINDS = {"html": b"text/html", "js": b"text/javascript", "css": b"text/css", "svg": b"image/svg+xml"}
_POLICY = (
    b"content-security-policy",
    # Pictures of items come from wherever the shop keeps them; all else is this server's own.
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: http: https:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
)
_FRESH = (b"cache-control", b"no-cache")


class PageRoutes:
    """Serves the page, unless `[server] page` turns it off. It asks for the key by itself, so its files are open."""

    def __init__(self, engine: EnginePort) -> None:
        self._replies: dict[str, Reply] = {}
        for file in files("nearline.serving").joinpath("page").iterdir() if engine.settings.server.page else ():
            kind = _KINDS.get(file.name.rpartition(".")[2])
            if kind is not None:
                content = (b"content-type", kind + b"; charset=utf-8")
                self._replies[file.name] = Reply(200, file.read_bytes(), content, _POLICY, _FRESH)

    def table(self) -> Table:
        """Return the handlers."""
        return {PAGE: {"GET": self.page}, FILE: {"GET": self.file}} if self._replies else {}

    async def page(self, _call: Call) -> Reply:
        """Answer with the page."""
        return self._replies["index.html"]

    async def file(self, call: Call) -> Reply:
        """Answer with one of its files."""
        name = call.path["name"]
        if name not in self._replies:
            raise not_found("file", "name", name)
        return self._replies[name]
