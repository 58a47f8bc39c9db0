"""Serve the page on 127.0.0.1 until Ctrl+C."""

import errno
import os
import secrets
import socket
import sys
import threading
import webbrowser
from contextlib import suppress

import uvicorn

from stages.common.errors import HeadstartError, one_line
from stages.labelling.server import application
from stages.labelling.session import Session

HOST = "127.0.0.1"


def serve(session: Session, *, port: int, opens_browser: bool) -> None:
    """Print the page's address, and serve the page.

    Raises:
        HeadstartError: the port is in use, or may not be used.
    """
    with listening(port) as listener:
        server, address = make(session, listener)
        print(f"label: {address} (Ctrl+C ends it)", flush=True)
        if opens_browser and _has_display():
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listener])


def make(session: Session, listener: socket.socket) -> tuple[uvicorn.Server, str]:
    """Make a server for this port, and the address of its page with a new token."""
    port, token = listener.getsockname()[1], secrets.token_urlsafe(16)
    app = application(session, token=token, port=port)
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=1)
    return uvicorn.Server(config), f"http://{HOST}:{port}/?token={token}"


def listening(port: int) -> socket.socket:
    """Open a port of this machine; 0: a free one."""
    listener = socket.socket()
    try:
        if os.name == "posix":  # else a port is blocked for a minute after its last page
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        why = "in use" if getattr(error, "errno", 0) == errno.EADDRINUSE else f"no port to use ({one_line(error)})"
        raise HeadstartError(f"--port {port} is {why}; name another, or leave it out for a free one") from None
    return listener


def _has_display() -> bool:
    """Tell whether a browser has a window: without one, Python opens browsers that take over the terminal."""
    return sys.platform != "linux" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
