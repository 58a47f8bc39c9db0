"""A server that says when it listens and can be told to end."""

import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn


class Server(uvicorn.Server):
    """A server of one application.

    Args:
        announce: called once, when it listens and heeds signals: before, Ctrl+C ends it with a warning of Python's.
    """

    def __init__(self, config: uvicorn.Config, announce: Callable[[], object]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See the base."""
        await super().startup(sockets)
        self._announce()

    def run_on(self, listener: socket.socket) -> None:
        """Serve until the process is told to end; a second Ctrl+C ends it at once."""
        with suppress(KeyboardInterrupt):
            self.run(sockets=[listener])
