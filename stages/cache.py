"""Cache: list the files that are kept between runs and that DVC does not track, or delete them.

    python -m stages.cache [--clear]

The cache folder is $HEADSTART_CACHE, else $XDG_CACHE_HOME/headstart, else ~/.cache/headstart. It holds the vectors that
extract computed, checkpoints of killed fine-tuning runs, results of evaluate that no head changes, pretrained weights
that were converted to safetensors, a few bytes for the speed and the description of a backbone, and a log of all runs.
Deleting them costs only time: results that are needed again are recomputed.

--clear deletes everything but the log and the files that another process uses.
"""

import time

from stages.common import cache_cleaning, cache_folder, cli, locks, run_stats
from stages.common.cache_folder import Part
from stages.common.errors import counted
from stages.extraction import row_cache_files

UNITS: dict[Part, str] = {"checkpoints": "run", "evaluations": "result", "weights": "model"}


def show() -> None:
    """Print the contents of the cache folder."""
    for fingerprint, rows, size, used in row_cache_files.info():
        day = time.strftime("%Y-%m-%d %H:%M", time.localtime(used))
        print(_line(fingerprint[:16], rows, "row", size), f" last used {day}")
    for part, unit in UNITS.items():
        print(_line(part, len(cache_folder.entries(part)), unit, cache_folder.size(cache_folder.folder(part))))
    log = run_stats.log_file()
    runs = log.read_bytes().count(b"\n") if log.exists() else 0
    print(_line(log.name, runs, "run", cache_folder.size(log)))
    root = cache_folder.root()
    print(f"{root}: {_megabytes(cache_folder.size(root))}")


def clear() -> None:
    """Delete the files that no process uses, and print their number and size."""
    backbones, freed = row_cache_files.clear()
    runs, results, models = (cache_cleaning.delete(part) for part in UNITS)
    notes = [*cache_cleaning.delete("speeds"), *cache_cleaning.delete("backbones")]
    locks.clear()
    freed += sum(runs) + sum(results) + sum(models) + sum(notes)
    print(
        f"{cache_folder.root()}: {counted(backbones, 'backbone')}, checkpoints of {counted(len(runs), 'run')},"
        f" {counted(len(results), 'result')} of evaluations and weights of {counted(len(models), 'model')} deleted,"
        f" {_megabytes(freed)}"
    )


def _line(name: str, count: int, unit: str, size: int) -> str:
    number, units = counted(count, unit).split()
    return f"{name:<16}  {number:>11} {units:<7}  {_megabytes(size):>12}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def main() -> None:
    args = cli.arguments(
        __doc__,
        with_params=False,
        options={"--clear": {"action": "store_true", "help": "delete the files that no process uses"}},
    )
    if args.clear:
        clear()
    else:
        show()


if __name__ == "__main__":
    cli.run(main)
