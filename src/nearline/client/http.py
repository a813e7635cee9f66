"""What the two clients share: requests as values, when to try again, and errors."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from time import time
from typing import Any
from urllib.parse import quote

import msgspec

try:
    import httpx
except ImportError as error:  # pragma: no cover
    raise ImportError("nearline.client needs httpx; install it with: pip install 'nearline[client]'") from error

from nearline.client.errors import ApiError, UnavailableError

BUSY = frozenset((429, 502, 503, 504))
"""Statuses after which the same request may succeed. Of those, Nearline itself sends 429 and 503."""
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Retry:
    """When to try again.

    Attributes:
        tries: requests at most, the first counted.
        base: seconds of the first wait, on average half of it; each further one doubles.
        longest: seconds that a wait may take, a Retry-After included.
    """

    tries: int = 3
    base: float = 0.1
    longest: float = 5.0

    def wait(self, attempt: int, asked: float | None = None) -> float:
        """Return the seconds to wait after attempt `attempt` (from 0).

        At random between nothing and the backoff ("full jitter"), so that clients do not come back together; on top of
        what the server asked for, where it did.
        """
        backoff = random.uniform(0.0, min(self.longest, self.base * 2.0 ** min(attempt, 30)))
        return backoff if asked is None else backoff + min(asked, self.longest)


SENDING = Retry(base=0.2, longest=5.0)
"""How the senders of events wait; they try until the client is closed."""


def retry_after(response: httpx.Response) -> float | None:
    """Return the seconds that the server asked to wait, None where it did not."""
    said = response.headers.get("Retry-After")
    if said is None:
        return None
    try:
        return max(0.0, float(said))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time())
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Request:
    """One call of the API; `again` where repeating it changes nothing more."""

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    body: bytes | None = None
    again: bool = True


def options(base_url: str, api_key: str, timeout: float) -> dict[str, Any]:
    """Return the arguments of either of httpx's clients."""
    headers = {"User-Agent": "nearline-client", **({"Authorization": f"Bearer {api_key}"} if api_key else {})}
    return {"base_url": base_url, "headers": headers, "timeout": timeout}


def checked(response: httpx.Response) -> bytes:
    """Return the body of a success.

    Raises:
        UnavailableError: the server is busy.
        ApiError: it refused.
    """
    if response.is_success:
        return response.content
    try:
        problem = msgspec.json.decode(response.content, type=dict[str, Any])
    except msgspec.DecodeError:
        problem = {}
    remedy = f"{problem.get('field')}: {problem['remedy']}" if problem.get("remedy") else ""
    detail = remedy or str(problem.get("detail") or response.text[:200])
    if response.status_code in BUSY:
        raise UnavailableError(f"{response.status_code}: {detail}")
    raise ApiError(response.status_code, detail, response.headers.get("X-Request-Id", ""), response.content)


def recommend(
    user_id: str,
    session_id: str,
    page_size: int | None,
    context: str,
    item_id: str,
    exclude: Sequence[str],
    device: str,
    locale: str,
    after: str,
    more: Mapping[str, Any],
) -> Request:
    """Return the request of a list; parameters that say nothing are left out."""
    given = {
        "user_id": user_id, "session_id": session_id, "page_size": page_size, "context": context, "item_id": item_id,
        "exclude": list(exclude), "device": device, "locale": locale, "after": after, **more,
    }  # fmt: skip
    return Request("GET", "/v1/recommendations", {name: value for name, value in given.items() if value not in ("", None, [])})


def similar(item_id: str, limit: int | None, diversity: float | None, user_id: str, session_id: str) -> Request:
    """Return the request of similar items."""
    given = {"limit": limit, "diversity": diversity, "user_id": user_id, "session_id": session_id}
    params = {name: value for name, value in given.items() if value not in ("", None)}
    return Request("GET", f"/v1/items/{quote(item_id, safe='')}/similar", params)


def trending(limit: int | None, category: str) -> Request:
    """Return the request of what trends."""
    given = {"limit": limit, "category": category}
    return Request("GET", "/v1/trending", {name: value for name, value in given.items() if value not in ("", None)})


def put_items(items: Sequence[Any]) -> Request:
    """Return the request that registers items; putting an item twice is putting it once."""
    return Request("POST", "/v1/items", body=msgspec.json.encode(list(items)))


def user(user_id: str, method: str = "GET") -> Request:
    """Return the request that shows or erases a user."""
    return Request(method, f"/v1/users/{quote(user_id, safe='')}")


def editorial_list(name: str, body: Mapping[str, Any] | None = None, method: str = "PUT") -> Request:
    """Return the request that keeps or withdraws an editorial list; fields that say nothing are left out."""
    kept = {field: said for field, said in (body or {}).items() if said not in ("", None, [], ())}
    return Request(method, f"/v1/lists/{quote(name, safe='')}", body=msgspec.json.encode(kept) if method == "PUT" else None)
