"""End a verb when it should end: on SIGTERM, and when the DVC that started it is gone."""

import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil

from stages.common import atomic

GRACE_SECONDS = 1.5  # from SIGTERM until the process is ended by force
POLL_SECONDS = 0.2


def heed() -> None:
    """End this process on SIGTERM and, in a stage that DVC runs, when DVC is gone."""
    _heed_sigterm()
    if "DVC_STAGE" in os.environ:
        # DVC is looked up before the verb starts: once DVC is killed, nothing tells that it was an ancestor.
        threading.Thread(target=_end_with, args=(_dvc(),), daemon=True).start()


def leave_to_server() -> None:
    """Let SIGTERM do what Ctrl+C does, also where `heed` was called: a server answers what was asked before it ends."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _heed_sigterm() -> None:
    """Let SIGTERM unwind like an exception, so that half-written outputs are removed on the way out.

    Python unwinds only when the main thread returns from the library that it calls, and then waits for the threads of
    a pool. Fitting a head on many rows delays both. So a thread, which learns of the signal at once, ends the process
    after `GRACE_SECONDS`.
    """
    reading, writing = socket.socketpair()  # as a pipe cannot be made non-blocking on Windows
    writing.setblocking(False)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)

    def watch() -> None:
        with writing:  # open as long as this thread lives
            while reading.recv(1)[0] != signal.SIGTERM:
                pass
            time.sleep(GRACE_SECONDS)
            atomic.discard()
            os._exit(143)

    threading.Thread(target=watch, daemon=True).start()


def _end_with(dvc: psutil.Process | None) -> None:
    """End this process when DVC is gone, and at once where there is none.

    A stage that outlives a killed DVC would write beside the run that replaces it. The parent may be a shell or a
    launcher, which outlives DVC too, so DVC itself is watched.
    """
    with suppress(psutil.NoSuchProcess):
        while dvc and dvc.is_running() and dvc.status() != psutil.STATUS_ZOMBIE:
            time.sleep(POLL_SECONDS)
    if os.name == "nt":
        signal.raise_signal(signal.SIGTERM)  # os.kill would leave no time to unwind
    else:
        os.kill(os.getpid(), signal.SIGTERM)  # wakes the main thread if it waits


def _dvc() -> psutil.Process | None:
    """Find the DVC that runs this stage: the nearest ancestor whose program is named `dvc`, or else the parent.

    Returns:
        The process, or None where even the parent is gone.
    """
    with suppress(psutil.Error):
        for process in psutil.Process().parents():
            with suppress(psutil.Error):
                if any(Path(part).stem == "dvc" for part in process.cmdline()):
                    return process
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(os.getppid())
    return None
