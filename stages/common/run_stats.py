"""Measure the seconds and the peak memory of a verb, for its summary line and for the log of all runs.

The log is `runs.jsonl` in the cache folder, which DVC does not track: seconds in an output would change dvc.lock on
every run.
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
    """Return the seconds since this process was started, and its peak memory: `4.2 s, 0.31 GB`."""
    return f"{seconds():.1f} s, {peak_memory() / 1e9:.2f} GB"


def seconds() -> float:
    """Return the seconds since this process was started, which was before this module was imported."""
    with suppress(OSError):  # Linux, where psutil is off by up to a second
        ticks = int(Path("/proc/self/stat").read_text("utf-8").rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    before = max(_IMPORTED_AT - float(psutil.Process().create_time()), 0)
    return before + time.perf_counter() - _IMPORTED


def peak_memory() -> int:
    """Return the peak memory of this process in bytes; its present memory where no system call tells the peak."""
    with suppress(OSError):
        # Linux. getrusage counts memory from before exec too, when this process was a copy of DVC.
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
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def log(verb: str, code: int) -> None:
    """Append this run, which ends with exit code `code`, to the log. Failure to write the log is ignored."""
    line = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "folder": str(Path.cwd()),
        "verb": verb,
        "exit": code,
        "seconds": round(seconds(), 2),
        "processor_seconds": round(time.process_time(), 2),  # of all threads together
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
