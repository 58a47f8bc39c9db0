"""End a verb when it should end: on SIGTERM, and when the DVC that started it is gone."""

import os
import signal
import sys
import threading
import time

from stages.common import atomic

GRACE = 3.0  # seconds that SIGTERM leaves to what is running


def heed() -> None:
    """End this process on SIGTERM, and as a stage of `dvc repro` with DVC."""
    if "DVC_STAGE" in os.environ:
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    _heed_sigterm()


def _heed_sigterm() -> None:
    """Let SIGTERM unwind like an exception, so that half-written outputs are removed on the way out.

    Python does so when the main thread comes back from what it calls, and threads of a pool are waited for: a head of
    many rows would hold both up. So a thread, which hears of the signal at once, ends what has not ended in time.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

    def watch() -> None:
        while os.read(reading, 1)[0] != signal.SIGTERM:
            pass
        time.sleep(GRACE)
        atomic.discard()
        os._exit(143)

    threading.Thread(target=watch, daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process when `parent` is gone.

    A stage that outlives a killed DVC would write beside the run that replaces it. The commands in dvc.yaml
    start with `exec`, so the parent is DVC itself and not a shell between the two.
    """
    while os.getppid() == parent:
        time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGTERM)
