"""Serve until Ctrl+C or SIGTERM, and then answer what was asked before."""

import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from stages.common import signals
from stages.serving import limits
from stages.web.server import Server


def config(app: ASGIApp) -> uvicorn.Config:
    """Configure a server of an application."""
    return uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=limits.MAX_CONNECTIONS,
        timeout_graceful_shutdown=round(limits.MAX_SECONDS),
    )


def run(app: ASGIApp, listener: socket.socket, announce: Callable[[], object]) -> None:
    """Serve an application until the process is told to end; a second Ctrl+C ends it at once.

    Args:
        announce: called when it may be told to.
    """
    signals.leave_to_server()
    Server(config(app), announce).run_on(listener)
