"""Open the port that a server listens on."""

import errno
import ipaddress
import os
import socket

from stages.common.errors import HeadstartError, one_line

LOOPBACK = "127.0.0.1"


def listening(host: str, port: int) -> socket.socket:
    """Open a port of this machine; 0: a free one.

    Raises:
        HeadstartError: the host is no address of this machine, or the port is in use or may not be used.
    """
    try:
        family, kind, protocol, _, own = socket.getaddrinfo(
            host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        probe = socket.socket(family, kind, protocol)
        with probe:
            probe.bind(own)
    except (OSError, UnicodeError) as error:
        raise HeadstartError(
            f"--host {host} is no address of this machine ({one_line(error)}); name one, or leave it out for {LOOPBACK}"
        ) from None
    listener = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # else a port is blocked for a minute after its last page
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((own[0], port, *own[2:]))
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        why = "in use" if getattr(error, "errno", 0) == errno.EADDRINUSE else f"no port to use ({one_line(error)})"
        raise HeadstartError(f"--port {port} is {why}; name another, or 0 for a free one") from None
    return listener


def is_loopback(listener: socket.socket) -> bool:
    """Tell whether only programs on this machine reach a listener."""
    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback


def address(listener: socket.socket) -> str:
    """Return the address of the page on this machine."""
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host.partition("%")[0]).is_unspecified:  # all addresses
        host = "localhost"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
