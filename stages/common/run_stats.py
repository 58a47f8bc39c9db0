"""What a run of a verb costs: seconds and peak memory, for its summary line and for a log of all runs.

The log is `runs.jsonl` in the cache folder, outside of what DVC tracks: a time inside an output would change dvc.lock
on every run.
"""

import json
import os
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import psutil

from stages.common import cache_folder
from stages.common.errors import HeadstartError

_IMPORTED_AT, _IMPORTED = time.time(), time.perf_counter()


def spent() -> str:
    """Seconds since the verb was started, and the most memory that it held: `4.2 s, 0.31 GB`."""
    return f"{seconds():.1f} s, {peak_memory() / 1e9:.2f} GB"


def seconds() -> float:
    """Seconds since the verb was started: since the process was, and not only since this module was imported."""
    with suppress(OSError):  # Linux, where psutil is off by up to a second
        ticks = int(Path("/proc/self/stat").read_text("utf-8").rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    before = max(_IMPORTED_AT - float(psutil.Process().create_time()), 0)
    return before + time.perf_counter() - _IMPORTED


def peak_memory() -> int:
    """The most memory that this process held at a time, in bytes; where no system call tells, what it holds now."""
    with suppress(OSError):
        # Linux: of this program alone. getrusage counts what the process was before it became this one: DVC.
        for line in Path("/proc/self/status").read_text("utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    memory = psutil.Process().memory_info()
    if hasattr(memory, "peak_wset"):  # Windows
        return int(memory.peak_wset)
    try:
        import resource
    except ImportError:
        return int(memory.rss)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def log(verb: str, code: int) -> None:
    """Append a line on this run, which ends with exit code `code`, to the log. A log that cannot be written is none."""
    line = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "folder": str(Path.cwd()),
        "verb": verb,
        "exit": code,
        "seconds": round(seconds(), 2),
        "peak_memory_gb": round(peak_memory() / 1e9, 3),
        "cores": os.cpu_count(),
    }
    with suppress(OSError, HeadstartError):
        log_file().parent.mkdir(parents=True, exist_ok=True)
        with log_file().open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def log_file() -> Path:
    """Give the path of the log, whether or not it exists."""
    return cache_folder.root() / "runs.jsonl"
