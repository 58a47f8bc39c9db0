"""Who may ask: hosts by which the server is called, and the key."""

import ipaddress
import os
import re
import secrets
from collections.abc import Callable, Collection
from urllib.parse import urlsplit

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from stages.common.errors import HeadstartError

KEY_VARIABLE = "HEADSTART_API_KEY"
KEY = re.compile(r"[A-Za-z0-9\-._~+/=]+")  # RFC 6750: what follows Bearer
OTHER_HOST = "The server is not known by this name; start it with --name NAME for every name that clients use."


def own_host(names: Collection[str]) -> Callable[[str], bool]:
    """Return what tells whether a header `Host` names this server.

    Addresses do: nobody but their owner can let them point here (DNS rebinding needs a name).

    Args:
        names: by which clients reach the server, beside `localhost`.
    """
    known = {"localhost", *(name.lower() for name in names)}

    def is_own(host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
            if name in known:
                return True
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    return is_own


def environment_key(host: str, *, is_loopback: bool) -> str | None:
    """Return the key that the environment names; None: none is needed.

    Args:
        host: that is listened on.
        is_loopback: whether only programs on this machine reach it.

    Raises:
        HeadstartError: no header can carry the key, or there is none although others can ask.
    """
    key = os.environ.get(KEY_VARIABLE) or None
    if key and not KEY.fullmatch(key):
        raise HeadstartError(
            f"{KEY_VARIABLE} may have letters of ASCII, digits and -._~+/=, and no spaces; set another"
        )
    if key is None and not is_loopback:
        raise HeadstartError(
            f"--host {host} lets others ask; set the environment variable {KEY_VARIABLE} to a key for them"
        )
    return key


def has_key(headers: Headers, key: str | None) -> bool:
    """Tell whether a request carries the key, as `Authorization: Bearer KEY` or `X-API-Key: KEY`; None: none is needed.

    Takes the same time for every wrong key.
    """
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    given = headers.get("x-api-key") or (bearer.strip() if scheme.lower() == "bearer" else "")
    return key is None or secrets.compare_digest(given.encode(), key.encode())


def key_refusal(key: str | None, public: Collection[str]) -> Callable[[Request], Response | None]:
    """Return what refuses requests without the key, but for those of `public` paths."""

    def refusal(request: Request) -> Response | None:
        if request.url.path in public or has_key(request.headers, key):
            return None
        sentence = f"send the key of {KEY_VARIABLE} as `Authorization: Bearer KEY` or `X-API-Key: KEY`"
        return JSONResponse({"error": sentence}, 401, {"www-authenticate": "Bearer"})

    return refusal
