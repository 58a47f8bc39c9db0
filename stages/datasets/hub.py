"""Data sets of the Hugging Face hub, from the Parquet copy that the hub keeps of every public data set."""

import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from stages.common import hub_client
from stages.common.errors import HeadstartError, listed, one_line
from stages.datasets import CHECK_NETWORK, FETCH_TIMEOUT_SECONDS
from stages.sources import class_names
from stages.sources.row import SPLIT_NAMES
from stages.tables.prepared import SPLITS

CONVERTED = "refs/convert/parquet"  # the revision with the Parquet copy
PARTIAL = "partial-"  # prefix of a split of which the hub converted the first 5 GB only


def write(name: str, *, config: str, target: Path, downloads: Path) -> str:
    """Write `target`/train.parquet, validation.parquet and test.parquet, and return a summary.

    Args:
        name: OWNER/NAME on the hub.
        config: a configuration of the data set; empty for its default.
        target: folder for the tables.
        downloads: folder for the downloaded shards; each is removed once it is copied.

    Raises:
        HeadstartError: the hub cannot be reached or refuses; or there is no such configuration, or no train split.
    """
    commit, files = _list_files(name)
    config, shards = _choose_config(name, config, files)
    chosen = _choose_splits(shards)
    if "train" not in chosen:
        raise HeadstartError(f"{name} has no train split in {config}, only {listed(shards)}; choose another data set")
    counts = []
    left_out = [hub_split for hub_split in shards if hub_split not in chosen.values()]
    for split, hub_split in chosen.items():
        table = target / f"{split}.parquet"
        paths = tqdm(shards[hub_split], desc=f"fetch {split}", unit=" files", disable=None)
        downloaded = (_download(name, path, commit, downloads) for path in paths)
        rows = _join(downloaded, table, title=f"the {hub_split} split of {name}")
        # Benchmarks keep the labels of their test rows secret; prepare then takes test rows from train.
        if split != "train" and _has_no_labels(table):
            table.unlink()
            left_out.append(f"{hub_split} (without labels)")
        else:
            counts.append(f"{rows:,} {split}{' (a part only)' if hub_split.startswith(PARTIAL) else ''}")
    ending = f"; {listed(left_out)} left out" if left_out else ""
    return f"{', '.join(counts)} rows of configuration {config}, commit {commit[:7]}{ending}"


def likely_columns(schema: pa.Schema) -> dict[str, str]:
    """Guess prepare's `input` and `label`; a column that cannot be guessed is a hint with all names to choose from."""
    types = {name: feature.get("_type") for name, feature in class_names.features(schema).items()}
    images = [name for name in schema.names if types[name] == "Image"]
    strings = [f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
    unknown = f"COLUMN (one of {listed(schema.names)})"
    labels = ("label", *(name for name in types if types[name] == "ClassLabel"), "category", "class")
    label = next((name for name in labels if name in types), unknown)
    inputs = (name for name in (*images, "text", *strings) if name in (*images, *strings) and name != label)
    return {"input": next(inputs, unknown), "label": label}


def _list_files(name: str) -> tuple[str, list[str]]:
    """Ask the hub for the commit of the Parquet copy, and for its files."""
    with _hub_errors(name):
        return hub_client.list_files("datasets", name, CONVERTED, timeout=FETCH_TIMEOUT_SECONDS)


def _download(name: str, path: str, commit: str, downloads: Path) -> Path:
    from huggingface_hub import hf_hub_download

    with _hub_errors(name):
        return Path(hf_hub_download(name, path, repo_type="dataset", revision=commit, local_dir=downloads))


@contextmanager
def _hub_errors(name: str) -> Iterator[None]:
    """Turn the errors of the hub's client into one sentence."""
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
        sentence = f"the hub has no public data set {name}; correct the name, or log in with `hf auth login`"
    except Exception as error:  # the client's HTTP library, and so its errors, differ between versions
        sentence = f"{name} cannot be fetched from the hub at {constants.ENDPOINT} ({one_line(error)}); {CHECK_NETWORK}"
    else:
        return
    raise HeadstartError(sentence)


def _choose_config(name: str, config: str, files: list[str]) -> tuple[str, dict[str, list[str]]]:
    """Return the configuration and its shards by split, in order; the copy's files are CONFIG/SPLIT/0000.parquet."""
    configs: dict[str, dict[str, list[str]]] = {}
    for file in sorted(files):
        # No name that leads elsewhere, here or on Windows.
        if re.fullmatch(r"(?!\.)[^/\\:]+/(?!\.)[^/\\:]+/[^/\\:]+\.parquet", file):
            folder, split, _ = file.split("/")
            configs.setdefault(folder, {}).setdefault(split, []).append(file)
    if not configs:
        raise HeadstartError(f"the hub's Parquet copy of {name} is empty; choose another data set")
    if config and config not in configs:
        raise HeadstartError(f"{name} has no configuration {config}; use one of {listed(configs)}")
    default = "default" if "default" in configs else next(iter(configs))
    if not config and len(configs) > 1 and default != "default":
        raise HeadstartError(f"{name} has several configurations ({listed(configs)}); name one, as hf:{name}:{default}")
    return config or default, configs[config or default]


def _choose_splits(hub_splits: Iterable[str]) -> dict[str, str]:
    """Map train, validation and test to the names of the hub's splits; of two names for one split, prefer the plain."""
    chosen: dict[str, str] = {}
    for hub_split in sorted(hub_splits, key=lambda name: (name not in SPLIT_NAMES.values(), name)):
        if split := SPLIT_NAMES.get(hub_split.removeprefix(PARTIAL).lower()):
            chosen.setdefault(split, hub_split)
    return {split: chosen[split] for split in SPLITS if split in chosen}


def _join(shards: Iterable[Path], target: Path, *, title: str) -> int:
    """Write the rows of all shards to `target`, one row group at a time; remove the shards, and return the row count.

    Args:
        title: names the table in errors.
    """
    rows, writer = 0, None
    with ExitStack() as stack:
        for shard in shards:
            try:
                with pq.ParquetFile(shard) as file:
                    described = class_names.features(file.schema_arrow)
                    if writer is None:
                        schema = class_names.put(file.schema_arrow.empty_table(), described).schema
                        writer = stack.enter_context(pq.ParquetWriter(target, schema, compression="zstd"))
                    for group in range(file.num_row_groups):
                        writer.write_table(class_names.put(file.read_row_group(group), described).cast(writer.schema))
                    rows += file.metadata.num_rows
            except (pa.ArrowException, ValueError, OSError) as error:
                raise HeadstartError(f"{title} cannot be joined ({one_line(error)}); choose another data set") from None
            shard.unlink()
    return rows


def _has_no_labels(table: Path) -> bool:
    """Return whether every label of a table with rows is null."""
    with pq.ParquetFile(table) as file:
        labels = file.read([likely_columns(file.schema_arrow)["label"]])
    return any(column.null_count == labels.num_rows > 0 for column in labels.columns)
