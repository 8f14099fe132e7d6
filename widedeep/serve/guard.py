"""What happens to every request before and after the application: limits, headers, counters."""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from widedeep.common.console import log
from widedeep.serve.meters import Meters

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

UNROUTED = "none"  # the route of requests that no route matches, so that strangers cannot make up new counters


class Guard:
    """An ASGI application around another one.

    It refuses bodies that are too long or too slow, adds the headers of `headers_of` to answers, counts them by route,
    and logs the failures of the application, which answers them itself.
    """

    def __init__(
        self, app: App, meters: Meters, headers_of: Callable[[str], dict[str, str]], body_bytes: int, seconds: float
    ):
        """Wrap an application.

        Args:
            app: answers requests.
            meters: counts answers.
            headers_of: returns the headers of all answers to a path.
            body_bytes: longest body.
            seconds: time for a body to arrive.

        """
        self._app, self._meters, self._headers_of = app, meters, headers_of
        self._body_bytes, self._seconds = body_bytes, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 0
        headers = [(name.lower().encode(), value.encode()) for name, value in self._headers_of(scope["path"]).items()]

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *headers]
            await send(message)

        try:
            body = await asyncio.wait_for(self._body(scope, receive), self._seconds)
            await self._app(scope, _replay(body, receive), send_with_headers)
        except _RefusedError as refused:
            await _answer(send_with_headers, *refused.args)
        except TimeoutError:
            await _answer(send_with_headers, 408, f"the body did not arrive within {self._seconds:g} s: send it again")
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
        route = getattr(scope.get("route"), "path", UNROUTED)
        self._meters.requests.labels(route, status).inc()
        self._meters.seconds.labels(route).observe(time.perf_counter() - began)

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """Return the whole body of a request."""
        if scope["method"] in ("GET", "HEAD"):
            return b""
        parts, length, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _RefusedError(400, "the connection was closed before the body had arrived")
            parts.append(message.get("body", b""))
            length, more = length + len(parts[-1]), message.get("more_body", False)
            if length > self._body_bytes:
                raise _RefusedError(413, f"the body has more than {self._body_bytes:,} bytes: send less")
        return b"".join(parts)


class _RefusedError(Exception):
    """The request is refused with a status and a sentence."""


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return what gives a body that has arrived already to an application, and then what else arrives."""
    waiting = [body]

    async def replayed() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return replayed


async def _answer(send: Send, status: int, detail: str) -> None:
    """Send an error; it has no characters that JSON would have to escape."""
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": f'{{"detail":"{detail}"}}'.encode()})
