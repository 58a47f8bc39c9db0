"""Let only the page itself talk to its server, which listens on this machine alone.

Any site that is open in the same browser can send requests to 127.0.0.1, and with a name that it lets point there
(DNS rebinding) even read the answers. So the host must be an address of this machine, the origin the page's own, and
all but the page's fixed files need the token, which only the address has that was printed.
"""

import secrets
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 10_000  # bytes
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",  # the address holds the token
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """Refuses requests of others, and adds headers that keep the page from asking for anything elsewhere."""

    def __init__(self, app: ASGIApp, *, token: str, port: int, public: tuple[str, ...]) -> None:
        """Wrap an application; `public`: paths that need no token, as they hold nothing of the data."""
        self._app, self._token, self._public = app, token.encode(), public
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # a websocket
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        refusal = self._refusal(Request(scope))
        await (refusal or self._app)(scope, receive, send_guarded)

    def _refusal(self, request: Request) -> PlainTextResponse | None:
        headers = request.headers
        if headers.get("host") not in self._hosts:
            return PlainTextResponse("This page is only for the machine that it runs on.\n", 403)
        if not self._is_own_origin(headers):
            return PlainTextResponse("Another site asked for this.\n", 403)
        given = headers.get("x-token") or request.query_params.get("token", "")
        if request.url.path not in self._public and not secrets.compare_digest(given.encode(), self._token):
            return PlainTextResponse("Open the address that `python -m stages.label` printed, with its token.\n", 403)
        if request.method not in ("GET", "HEAD") and not _is_small_json(headers):
            return PlainTextResponse("The page sends short JSON only.\n", 415)
        return None

    def _is_own_origin(self, headers: Headers) -> bool:
        """Tell whether no other site sent this; a browser names the site, and opening an address has none."""
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
        return (origin is None or origin in {f"http://{host}" for host in self._hosts}) and site in (
            "none",
            "same-origin",
        )


def _is_small_json(headers: MutableMapping[str, Any] | Headers) -> bool:
    length = headers.get("content-length", "")
    return headers.get("content-type", "") == "application/json" and length.isdecimal() and int(length) <= MAX_BODY
