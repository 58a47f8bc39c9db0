"""Fetch: the name of a public data set in, a folder that prepare reads out.

    python -m stages.fetch digits data/digits
    python -m stages.fetch hf:OWNER/NAME[:CONFIG] data/NAME
    python -m stages.fetch torchvision:CIFAR10 data/cifar10

`digits`, the handwritten digits that come with scikit-learn, needs no network and gives images: 0/0000.png, …
`hf:` brings a data set of the Hugging Face hub as tables: train.parquet, validation.parquet, test.parquet.
`torchvision:` brings one of torchvision.datasets as images: train/CLASS/00000.png, validation/…, test/…
"""

import shlex
import shutil
from pathlib import Path

import pyarrow.parquet as pq

from stages.common import atomic, cli, run_stats
from stages.common.errors import HeadstartError
from stages.datasets import digits, hub, torchvision


def fetch(name: str, target: Path) -> None:
    """Write the data set `name` to the new folder `target`, and print what to do with it.

    Raises:
        HeadstartError: `target` exists, nothing is called `name`, or it cannot be brought here.
    """
    _refuse_existing(target)
    kind, _, rest = name.partition(":")
    columns = {}
    with atomic.directory(target) as out:
        # Inside the output, so that what a killed run leaves is removed with it by the next one.
        downloads = out / ".downloads"
        downloads.mkdir()
        if name == "digits":
            summary = digits.write(out)
        elif kind == "hf" and rest:
            summary = hub.write(*rest.partition(":")[::2], out, downloads)
            columns = hub.likely_columns(pq.read_schema(out / "train.parquet"))
        elif kind == "torchvision" and rest:
            summary = torchvision.write(rest, out, downloads)
        else:
            raise HeadstartError(f"NAME is {name!r}, but must be digits, hf:OWNER/NAME or torchvision:NAME")
        shutil.rmtree(downloads)
        _refuse_existing(target)  # a download takes long; meanwhile someone may have put something there
    print(f"fetch: {name} -> {target}: {summary}, in {run_stats.spent()}")
    print(f"next: dvc add {shlex.quote(str(target))}")
    print("next: in params.yaml set", ", ".join(f"prepare.{k}: {v}" for k, v in {"data": target, **columns}.items()))


def _refuse_existing(target: Path) -> None:
    if target.exists() or target.is_symlink():
        raise HeadstartError(f"{target} exists and is never overwritten; delete it or name another folder")


def main() -> None:
    args = cli.arguments(__doc__, with_params=False, name="the data set, as above", target="folder to write")
    fetch(str(args.name), args.target)


if __name__ == "__main__":
    cli.run(main)
