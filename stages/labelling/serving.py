"""Serve the page on 127.0.0.1 until Ctrl+C."""

import os
import secrets
import socket
import sys
import threading
import webbrowser

import uvicorn

from stages.labelling.server import application
from stages.labelling.session import Session
from stages.web.listening import LOOPBACK, listening
from stages.web.server import Server


def serve(session: Session, *, port: int, opens_browser: bool) -> None:
    """Print the page's address, and serve the page.

    Raises:
        HeadstartError: the port is in use, or may not be used.
    """
    with listening(LOOPBACK, port) as listener:
        config, address = configure(session, listener)

        def announce() -> None:
            print(f"label: {address} (Ctrl+C ends it)", flush=True)
            if opens_browser and _has_display():
                threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

        Server(config, announce).run_on(listener)


def configure(session: Session, listener: socket.socket) -> tuple[uvicorn.Config, str]:
    """Configure a server for this port; gives it with the address of its page, which has a new token."""
    port, token = listener.getsockname()[1], secrets.token_urlsafe(16)
    app = application(session, token=token, port=port)
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=1)
    return config, f"http://{LOOPBACK}:{port}/?token={token}"


def _has_display() -> bool:
    """Tell whether a browser has a window: without one, Python opens browsers that take over the terminal."""
    return sys.platform != "linux" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
