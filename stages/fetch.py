"""Fetch: download a public data set into a folder that prepare can read.

    python -m stages.fetch digits data/digits
    python -m stages.fetch hf:OWNER/NAME[:CONFIG] data/NAME
    python -m stages.fetch torchvision:CIFAR10 data/cifar10

`digits` writes the handwritten digits of scikit-learn as images, without a network: 0/0000.png, …
`hf:` writes a data set of the Hugging Face hub as tables: train.parquet, validation.parquet, test.parquet.
`torchvision:` writes one of torchvision.datasets as images: train/CLASS/00000.png, validation/…, test/…
"""

import shlex
import shutil
from pathlib import Path

import pyarrow.parquet as pq

from stages.common import atomic, cli, run_stats, targets
from stages.common.errors import HeadstartError
from stages.datasets import digits, hub, torchvision


def fetch(name: str, target: Path) -> None:
    """Write the data set `name` to the new folder `target`, and print the next commands.

    Raises:
        HeadstartError: `target` exists, `name` is unknown, or the data set cannot be downloaded.
    """
    targets.check_folder(target, None)
    source, _, rest = name.partition(":")
    columns = {}
    with atomic.directory(target, None) as out:
        # Inside the output, so that the next run removes what a killed run leaves behind.
        downloads = out / ".downloads"
        downloads.mkdir()
        if name == "digits":
            summary = digits.write(out)
        elif source == "hf" and rest:
            repository, _, config = rest.partition(":")
            summary = hub.write(repository, config=config, target=out, downloads=downloads)
            columns = hub.likely_columns(pq.read_schema(out / "train.parquet"))
        elif source == "torchvision" and rest:
            summary = torchvision.write(rest, target=out, downloads=downloads)
        else:
            raise HeadstartError(f"NAME is {name!r}, but must be digits, hf:OWNER/NAME or torchvision:NAME")
        shutil.rmtree(downloads)
    settings = {"prepare.data": target, **{f"prepare.{key}": column for key, column in columns.items()}}
    print(f"fetch: {name} -> {target}: {summary}, in {run_stats.spent()}")
    print(f"next: dvc add {shlex.quote(str(target))}")
    print(f"next: in params.yaml set {', '.join(f'{key}: {value}' for key, value in settings.items())}")


def main() -> None:
    args = cli.arguments(__doc__, with_params=False, name="the data set, as above", target="folder to write")
    fetch(str(args.name), args.target)


if __name__ == "__main__":
    cli.run(main)
