"""Data sets of the Hugging Face hub, from the Parquet copy that the hub makes of each public one."""

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from stages.common.errors import HeadstartError, listed, one_line
from stages.datasets import ELSEWHERE, TIMEOUT_SECONDS
from stages.sources.row import SPLIT_NAMES

CONVERTED = "refs/convert/parquet"  # where the hub keeps its own Parquet copy of a public data set


def write(name: str, wanted: str, out: Path, downloads: Path) -> str:
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
        raise HeadstartError(f"{name} has no train split in {config}, only {listed(found)}; choose another data set")
    counts, left_out = [], [split for split in found if split not in theirs.values()]
    for ours in (split for split in ("train", "validation", "test") if split in theirs):
        split, table = theirs[ours], out / f"{ours}.parquet"
        rows = _join(shards(found[split], ours), table, source=f"the {split} split of {name}")
        labels = pq.ParquetFile(table).read([likely_columns(pq.read_schema(table))["label"]]).columns
        # Benchmarks keep the labels of their test rows to themselves; prepare then takes test rows from train.
        if ours != "train" and any(column.null_count == rows > 0 for column in labels):
            table.unlink()
            left_out.append(f"{split} (without labels)")
            continue
        # The hub converts the first 5 GB only, and says so in the name of the folder.
        counts.append(f"{rows:,} {ours}{' (a part only)' if split.startswith('partial-') else ''}")
    ending = f"; {listed(left_out)} left out" if left_out else ""
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
        sentence = f"{name} cannot be brought from the hub at {constants.ENDPOINT} ({one_line(error)}); {ELSEWHERE}"
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
        raise HeadstartError(f"{name} has no configuration {wanted}; use one of {listed(configs)}")
    default = "default" if "default" in configs else next(iter(configs))
    if not wanted and len(configs) > 1 and default != "default":
        raise HeadstartError(f"{name} has several configurations ({listed(configs)}); name one, as hf:{name}:{default}")
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
                raise HeadstartError(
                    f"{source} cannot be joined ({one_line(error)}); choose another data set"
                ) from None
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


def likely_columns(schema: pa.Schema) -> dict[str, str]:
    """The likely params of prepare; a column that cannot be guessed comes out as all there is to choose from."""
    types = {name: feature.get("_type") for name, feature in _features(schema).items()}
    images = [name for name in schema.names if types[name] == "Image"]
    strings = [f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
    unknown = f"COLUMN (one of {listed(schema.names)})"
    labels = ("label", *(name for name in types if types[name] == "ClassLabel"), "category", "class")
    label = next((name for name in labels if name in types), unknown)
    inputs = (name for name in (*images, "text", *strings) if name in (*images, *strings) and name != label)
    return {"input": next(inputs, unknown), "label": label}
