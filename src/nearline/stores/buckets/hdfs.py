"""Objects in HDFS, through WebHDFS, which every name node and HttpFS speak: no Java and no library is needed here."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
import uuid
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

import msgspec
import pyarrow as pa

from nearline.schema.errors import NearlineError, StoreUnavailableError
from nearline.stores.adapters import shown
from nearline.stores.lease import Lease, leased

PATIENCE = 10.0
"""Seconds that nothing comes for."""
PORT = 9870


class _Status(msgspec.Struct):
    path: str = msgspec.field(name="pathSuffix")
    type: str


class _Statuses(msgspec.Struct):
    found: list[_Status] = msgspec.field(name="FileStatus")


class _Listing(msgspec.Struct):
    statuses: _Statuses = msgspec.field(name="FileStatuses")


class _Exception(msgspec.Struct):
    exception: str
    message: str = ""


class _Refusal(msgspec.Struct):
    remote: _Exception = msgspec.field(name="RemoteException")


class _Location(msgspec.Struct):
    location: str = msgspec.field(name="Location")


def open_objects(url: str, folder: Path) -> HdfsObjects:
    """Open hdfs://user@namenode:9870/folder, with the port of WebHDFS; of several (`n1:9870,n2:9870`) one is active."""
    user, _, where = urlsplit(url).netloc.rpartition("@")
    hosts = [host if ":" in host else f"{host}:{PORT}" for host in where.split(",") if host]
    if not hosts or ":" in user or urlsplit(url).query:
        raise NearlineError("storage", shown(url), "write hdfs://user@namenode:9870/folder, with the port of WebHDFS")
    return HdfsObjects(hosts, unquote(user), unquote(urlsplit(url).path).strip("/"), shown(url))


class HdfsObjects:
    """An `Objects` in a folder of HDFS: what is written has a hidden name first, and renaming it is atomic.

    Args:
        hosts: name nodes with their ports.
        user: whose files they are; "" for the server's default.
        root: the folder, without slashes around it.
        url: of it, in errors.
    """

    remote = True

    def __init__(self, hosts: list[str], user: str, root: str, url: str) -> None:
        self._hosts, self._user, self._root, self._url = hosts, user, root, url

    def folders(self, folder: str) -> list[str]:
        """Return the names of the folders right below one, sorted."""
        return sorted(one.path for one in self._list(folder) if one.type == "DIRECTORY")

    def names(self, folder: str, before: str = "") -> list[str]:
        """Return the whole names of all objects below a folder, sorted; one question for each folder."""
        found: list[str] = []
        for one in self._list(folder):
            if not before or one.path < before:
                name = f"{folder}/{one.path}"
                found += self.names(name) if one.type == "DIRECTORY" else [name]
        return sorted(found)

    def _list(self, folder: str) -> list[_Status]:
        try:
            answer = self._ask("GET", folder, "LISTSTATUS")
        except FileNotFoundError:
            return []
        found = msgspec.json.decode(answer, type=_Listing).statuses.found
        return [one for one in found if not one.path.startswith(".")]

    def read(self, name: str) -> bytes:
        """Return an object."""
        return self._ask("GET", name, "OPEN")

    def source(self, name: str) -> pa.NativeFile:
        """Return an object as a file in memory."""
        return pa.BufferReader(pa.py_buffer(self.read(name)))

    def put(self, name: str, data: Any) -> None:
        """Write an object."""
        self._rename(self._draft(name, data), name, "OVERWRITE")

    def create(self, name: str, data: bytes) -> bool:
        """Write an object of which there is none."""
        draft = self._draft(name, data)
        try:
            self._rename(draft, name, "NONE")
        except FileExistsError:
            self._ask("DELETE", draft, "DELETE")
            return False
        return True

    def delete(self, names: Sequence[str]) -> None:
        """Drop objects, and folders that are empty then."""
        for name in names:
            self._ask("DELETE", name, "DELETE")
        for folder in {name.rpartition("/")[0] for name in names}:
            with suppress(OSError):  # it is not empty
                self._ask("DELETE", folder, "DELETE")

    def locked(self, name: str, wait: bool = True) -> AbstractContextManager[Lease]:
        """Keep others out by a lease."""
        return leased(self, name, wait)

    def _draft(self, name: str, data: Any) -> str:
        draft = f"{name.rpartition('/')[0]}/.{uuid.uuid4().hex}.tmp"
        answer = self._ask("PUT", draft, "CREATE", noredirect="true", overwrite="false")
        self._request("PUT", msgspec.json.decode(answer, type=_Location).location, memoryview(data).cast("B"))
        return draft

    def _rename(self, draft: str, name: str, how: str) -> None:
        self._ask("PUT", draft, "RENAME", destination=self._path(name), renameoptions=how)

    def _path(self, name: str) -> str:
        return "/" + "/".join(part for part in (self._root, name.strip("/")) if part)

    def _ask(self, method: str, name: str, op: str, **given: str) -> bytes:
        """Ask the active name node, which is put first for the next question.

        Raises:
            FileNotFoundError, FileExistsError: as the file system says.
            NotADirectoryError: a folder is not empty.
            StoreUnavailableError: no name node does it.
        """
        query = urlencode({"op": op, **given, **({"user.name": self._user} if self._user else {})})
        away: Exception | None = None
        for host in list(self._hosts):
            try:
                answer = self._request(method, f"http://{host}/webhdfs/v1{quote(self._path(name))}?{query}")
            except StoreUnavailableError as error:
                away = error
                continue
            if host != self._hosts[0]:
                self._hosts = [host, *(other for other in self._hosts if other != host)]
            return answer
        assert away is not None
        raise away

    def _request(self, method: str, url: str, data: Any = None) -> bytes:
        asked = urllib.request.Request(url, data, {"Content-Type": "application/octet-stream"}, method=method)
        try:
            with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            raise self._meant(error) from None
        except (OSError, http.client.HTTPException) as error:
            raise StoreUnavailableError(f"{self._url}: {error}") from error

    def _meant(self, error: urllib.error.HTTPError) -> Exception:
        """Return the error that a refusal means."""
        try:
            said = msgspec.json.decode(error.read(), type=_Refusal).remote
        except (msgspec.MsgspecError, OSError, http.client.HTTPException):
            return StoreUnavailableError(f"{self._url}: {error}")
        text = f"{self._url}: {said.exception}: {said.message.partition(chr(10))[0]}"
        kinds = {"FileNotFoundException": FileNotFoundError, "FileAlreadyExistsException": FileExistsError}
        kinds["PathIsNotEmptyDirectoryException"] = NotADirectoryError
        return kinds.get(said.exception, StoreUnavailableError)(text)
