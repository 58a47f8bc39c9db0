"""Fetch: the name of a public data set in, a folder that prepare reads out.

    python -m stages.fetch digits data/digits
    python -m stages.fetch hf:OWNER/NAME[:CONFIG] data/NAME
    python -m stages.fetch torchvision:CIFAR10 data/cifar10

`digits`, the handwritten digits that come with scikit-learn, needs no network and gives images: 0/0000.png, …
`hf:` brings a data set of the Hugging Face hub as tables: train.parquet, validation.parquet, test.parquet.
`torchvision:` brings one of torchvision.datasets as images: train/CLASS/00000.png, validation/…, test/…
"""

import difflib
import inspect
import json
import re
import shlex
import shutil
import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from stages import cli, cost, outputs
from stages.errors import HeadstartError
from stages.sources.row import SPLIT_NAMES

CONVERTED = "refs/convert/parquet"  # where the hub keeps its own Parquet copy of a public data set
TIMEOUT_SECONDS = 10.0
ELSEWHERE = "check the network, or run this on a machine that has one and copy the folder here"
# Of torchvision.datasets, those with one class for each image that torchvision can still download by itself.
TORCHVISION = (
    *("CIFAR10", "CIFAR100", "Caltech101", "Caltech256", "Country211", "DTD", "EuroSAT", "FGVCAircraft"),
    *("FashionMNIST", "Flowers102", "Food101", "GTSRB", "Imagenette", "KMNIST", "MNIST", "OxfordIIITPet", "PCAM"),
    *("QMNIST", "RenderedSST2", "SEMEION", "STL10", "SUN397", "SVHN", "USPS"),
)
# What torchvision may call each split; trainval, which contains train, only where there is no train.
TORCHVISION_SPLITS = {"train": ("train", "trainval"), "validation": ("val", "valid"), "test": ("test",)}


def fetch(name: str, target: Path) -> None:
    """Write the data set `name` to the new folder `target`, and print what to do with it.

    Raises:
        HeadstartError: `target` exists, nothing is called `name`, or it cannot be brought here.
    """
    _refuse_existing(target)
    kind, _, rest = name.partition(":")
    columns = {}
    with outputs.directory(target) as out:
        # Inside the output, so that what a killed run leaves is removed with it by the next one.
        downloads = out / ".downloads"
        downloads.mkdir()
        if name == "digits":
            summary = _digits(out)
        elif kind == "hf" and rest:
            summary = _from_hub(*rest.partition(":")[::2], out, downloads)
            columns = _columns(pq.read_schema(out / "train.parquet"))
        elif kind == "torchvision" and rest:
            summary = _from_torchvision(rest, out, downloads)
        else:
            raise HeadstartError(f"NAME is {name!r}, but must be digits, hf:OWNER/NAME or torchvision:NAME")
        shutil.rmtree(downloads)
        _refuse_existing(target)  # a download takes long; meanwhile someone may have put something there
    print(f"fetch: {name} -> {target}: {summary}, in {cost.spent()}")
    print(f"next: dvc add {shlex.quote(str(target))}")
    print("next: in params.yaml set", ", ".join(f"prepare.{k}: {v}" for k, v in {"data": target, **columns}.items()))


def _refuse_existing(target: Path) -> None:
    if target.exists() or target.is_symlink():
        raise HeadstartError(f"{target} exists and is never overwritten; delete it or name another folder")


def _digits(out: Path) -> str:
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = (digits.images * 255 / 16).round().astype("uint8")  # (rows, 8, 8)
    rows = zip(pixels, digits.target, strict=True)
    for row, (image, label) in enumerate(tqdm(rows, total=len(pixels), desc="fetch", unit=" images", disable=None)):
        (out / str(label)).mkdir(exist_ok=True)
        Image.fromarray(image).save(out / str(label) / f"{row:04d}.png")
    return f"{len(pixels):,} images in {len(digits.target_names)} classes"


def _from_hub(name: str, wanted: str, out: Path, downloads: Path) -> str:
    """Write one table for each split of the configuration `wanted`, or of the only one; tell what was written."""
    from huggingface_hub import HfApi

    api = HfApi()
    with _asking_the_hub(name):
        # One quick question first: without a network it fails at once, where the others retry for minutes.
        commit = api.dataset_info(name, revision=CONVERTED, timeout=TIMEOUT_SECONDS).sha
        files = api.list_repo_files(name, revision=commit, repo_type="dataset")

    def shards(paths: list[str], split: str) -> Iterator[Path]:
        for path in tqdm(paths, desc=f"fetch {split}", unit=" files", disable=None):
            with _asking_the_hub(name):
                shard = api.hf_hub_download(name, path, repo_type="dataset", revision=commit, local_dir=downloads)
            yield Path(shard)

    config, found = _choose(name, wanted, files)
    # The plain name comes first, so that it is taken where two names mean the same split.
    theirs: dict[str, str] = {}
    for split in sorted(found, key=lambda split: (split not in SPLIT_NAMES.values(), split)):
        if ours := SPLIT_NAMES.get(split.removeprefix("partial-").lower()):
            theirs.setdefault(ours, split)
    if "train" not in theirs:
        raise HeadstartError(f"{name} has no train split in {config}, only {_some(found)}; choose another data set")
    counts, left_out = [], [split for split in found if split not in theirs.values()]
    for ours in (split for split in ("train", "validation", "test") if split in theirs):
        split, table = theirs[ours], out / f"{ours}.parquet"
        rows = _join(shards(found[split], ours), table, source=f"the {split} split of {name}")
        labels = pq.ParquetFile(table).read([_columns(pq.read_schema(table))["label"]]).columns
        # Benchmarks keep the labels of their test rows to themselves; prepare then takes test rows from train.
        if ours != "train" and any(column.null_count == rows > 0 for column in labels):
            table.unlink()
            left_out.append(f"{split} (without labels)")
            continue
        # The hub converts the first 5 GB only, and says so in the name of the folder.
        counts.append(f"{rows:,} {ours}{' (a part only)' if split.startswith('partial-') else ''}")
    ending = f"; {_some(left_out)} left out" if left_out else ""
    return f"{', '.join(counts)} rows of configuration {config}, commit {str(commit)[:7]}{ending}"


@contextmanager
def _asking_the_hub(name: str) -> Iterator[None]:
    """Tell in one sentence what the hub's client raises."""
    from huggingface_hub import constants, errors

    page = f"{constants.ENDPOINT}/datasets/{name}"
    try:
        yield
    except errors.HFValidationError:
        sentence = f"{name!r} cannot be a name on the hub; use hf:OWNER/NAME or hf:OWNER/NAME:CONFIG"
    except errors.GatedRepoError:
        sentence = f"{name} is gated; accept its terms at {page} and log in with `hf auth login`"
    except errors.RevisionNotFoundError:
        sentence = f"the hub has no Parquet copy of {name}; download a table from {page} and set prepare.data to it"
    except errors.RepositoryNotFoundError:
        sentence = f"the hub has no data set {name}, or none that is public; correct it, or log in with `hf auth login`"
    except Exception as error:  # the client's HTTP library, and with it the errors, differ between its versions
        sentence = f"{name} cannot be brought from the hub at {constants.ENDPOINT} ({_reason(error)}); {ELSEWHERE}"
    else:
        return
    raise HeadstartError(sentence)


def _choose(name: str, wanted: str, files: list[str]) -> tuple[str, dict[str, list[str]]]:
    """The configuration, and its files by split, in order; the hub's copy is laid out as CONFIG/SPLIT/0000.parquet."""
    configs: dict[str, dict[str, list[str]]] = {}
    for file in sorted(files):
        if file.endswith(".parquet") and file.count("/") == 2:
            config, split, _ = file.split("/")
            configs.setdefault(config, {}).setdefault(split, []).append(file)
    if not configs:
        raise HeadstartError(f"the hub's Parquet copy of {name} is empty; choose another data set")
    if wanted and wanted not in configs:
        raise HeadstartError(f"{name} has no configuration {wanted}; use one of {_some(configs)}")
    default = "default" if "default" in configs else next(iter(configs))
    if not wanted and len(configs) > 1 and default != "default":
        raise HeadstartError(f"{name} has several configurations ({_some(configs)}); name one, as hf:{name}:{default}")
    return wanted or default, configs[wanted or default]


def _join(shards: Iterable[Path], target: Path, *, source: str) -> int:
    """Write all rows to `target`, one row group in memory at a time, and count them; removes the shards."""
    rows, writer = 0, None
    with ExitStack() as stack:
        for shard in shards:
            try:
                with pq.ParquetFile(shard) as file:
                    if writer is None:
                        schema = _named(file.schema_arrow.empty_table()).schema
                        writer = stack.enter_context(pq.ParquetWriter(target, schema, compression="zstd"))
                    for group in range(file.num_row_groups):
                        writer.write_table(_named(file.read_row_group(group)).cast(writer.schema))
                    rows += file.metadata.num_rows
            except (pa.ArrowException, ValueError, OSError) as error:
                raise HeadstartError(f"{source} cannot be joined ({_reason(error)}); choose another data set") from None
            shard.unlink()
    return rows


def _features(schema: pa.Schema) -> dict[str, dict[str, Any]]:
    """What the hub notes about each column; nothing where it notes a list."""
    noted = json.loads((schema.metadata or {}).get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    return {name: noted[name] if isinstance(noted.get(name), dict) else {} for name in schema.names}


def _named(table: pa.Table) -> pa.Table:
    """Numbers of classes become names; those without a name, as the -1 of unlabelled test rows, become null."""
    for index, (column, feature) in enumerate(_features(table.schema).items()):
        numbers, names = table.column(index), feature.get("names")
        if feature.get("_type") == "ClassLabel" and names and pa.types.is_integer(numbers.type):
            known = pc.and_(pc.greater_equal(numbers, 0), pc.less(numbers, len(names)))
            labels = pc.take(pa.array(names, pa.string()), pc.if_else(known, numbers, None))
            table = table.set_column(index, column, labels)
    return table


def _columns(schema: pa.Schema) -> dict[str, str]:
    """The likely params of prepare; a column that cannot be guessed comes out as all there is to choose from."""
    types = {name: feature.get("_type") for name, feature in _features(schema).items()}
    images = [name for name in schema.names if types[name] == "Image"]
    strings = [f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
    unknown = f"COLUMN (one of {_some(schema.names)})"
    labels = ("label", *(name for name in types if types[name] == "ClassLabel"), "category", "class")
    label = next((name for name in labels if name in types), unknown)
    inputs = (name for name in (*images, "text", *strings) if name in (*images, *strings) and name != label)
    return {"input": next(inputs, unknown), "label": label}


def _from_torchvision(name: str, out: Path, downloads: Path) -> str:
    """Write the images of each split into folders of their classes, and tell what was written."""
    from torchvision import datasets

    if name not in TORCHVISION:
        known = f"{', '.join(TORCHVISION)}{_near(name, TORCHVISION)}"
        raise HeadstartError(f"torchvision:{name} is none that has a download and a class for each image: {known}")
    counts, labels = [], set()
    for split, data in _torchvision_splits(getattr(datasets, name), downloads):
        classes = _folder_names(getattr(data, "classes", None) or getattr(data, "categories", None) or ())
        for row in tqdm(range(len(data)), desc=f"fetch {split}", unit=" images", disable=None):
            image, number = data[row]
            label = classes[int(number)] if classes else str(int(number))
            labels.add(label)
            (out / split / label).mkdir(parents=True, exist_ok=True)
            # Some JPEGs are CMYK, which PNG cannot hold.
            (image.convert("RGB") if image.mode == "CMYK" else image).save(out / split / label / f"{row:05d}.png")
        counts.append(f"{len(data):,} {split}".strip())
    return f"{', '.join(counts)} images in {len(labels)} classes"


def _torchvision_splits(dataset: Any, downloads: Path) -> Iterator[tuple[str, Any]]:
    """(split, data set) for each; the split is empty where torchvision knows none."""
    parameters = inspect.signature(dataset).parameters
    if "train" in parameters:
        yield "train", _downloaded(dataset, downloads, train=True)
        yield "test", _downloaded(dataset, downloads, train=False)
    elif "split" in parameters:
        for split, names in TORCHVISION_SPLITS.items():
            found = (_downloaded(dataset, downloads, split=name) for name in names)
            if data := next(filter(None, found), None):
                yield split, data
    else:
        yield "", _downloaded(dataset, downloads)


def _downloaded(dataset: Any, downloads: Path, **split: Any) -> Any:
    """The data set, or None where it has no such split."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_SECONDS)  # torchvision by itself waits for ever
    try:
        return dataset(str(downloads), download=True, **split)
    except Exception as error:  # of the network, the archive or a package it needs: each data set has its own
        if str(error).startswith("Unknown value"):
            return None
        what = f"{dataset.__name__} from {getattr(dataset, 'url', getattr(dataset, '_URL', 'its source'))}"
        raise HeadstartError(f"{what} cannot be downloaded ({_reason(error)}); {ELSEWHERE}") from None
    finally:
        socket.setdefaulttimeout(before)


def _folder_names(classes: Iterable[Any]) -> list[str]:
    """Names of classes that fit folders: no slashes, no leading dots, and each its own."""
    names = [str(each[0] if isinstance(each, tuple) else each) for each in classes]  # Imagenette has several for each
    safe = [re.sub(r"[/\\\x00-\x1f]", "_", name).strip().lstrip(".") for name in names]
    return [name if name and safe.count(name) == 1 else f"{name}_{row}" for row, name in enumerate(safe)]


def _near(name: str, known: Iterable[str]) -> str:
    by_lower = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f"; did you mean {by_lower[near[0]]}?" if near else ""


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__


def main() -> None:
    args = cli.arguments(__doc__, with_params=False, name="the data set, as above", target="folder to write")
    fetch(str(args.name), args.target)


if __name__ == "__main__":
    cli.run(main)
