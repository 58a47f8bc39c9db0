"""Let only those talk to a server who may, and let its page ask for nothing elsewhere.

Any site that is open in a browser can send requests to a server that the browser reaches, and with a name that it lets
point there (DNS rebinding) even read the answers. So the host must be one of the server's own, and the origin the
page's own. What else a request needs, such as a token, the application says.
"""

from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",  # an address may hold a token
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """Refuses requests of others, and adds headers that keep the page from asking for anything elsewhere."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        is_own_host: Callable[[str], bool],
        other_host: str,
        refusal: Callable[[Request], Response | None],
    ) -> None:
        """Wrap an application.

        Args:
            is_own_host: tells whether the header `Host` names this server.
            other_host: a sentence for those who name another.
            refusal: gives the answer to a request that lacks what this server asks for, or None.
        """
        self._app, self._is_own_host, self._other_host, self._refusal = app, is_own_host, other_host, refusal

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

        request = Request(scope)
        refusal = self._stranger(request.headers) or self._refusal(request)
        await (refusal or self._app)(scope, receive, send_guarded)

    def _stranger(self, headers: Headers) -> Response | None:
        """Refuse another host and another site."""
        if not self._is_own_host(headers.get("host", "")):
            return PlainTextResponse(f"{self._other_host}\n", 403)
        if not _is_own_origin(headers):
            return PlainTextResponse("Another site asked for this.\n", 403)
        return None


def _is_own_origin(headers: Headers) -> bool:
    """Tell whether no other site sent this; a browser names the site, and opening an address has none."""
    host, origin, site = headers["host"], headers.get("origin"), headers.get("sec-fetch-site")
    if origin not in (None, f"http://{host}"):
        return origin == f"https://{host}" and site == "same-origin"  # behind a proxy that speaks TLS
    return site in (None, "none", "same-origin")
