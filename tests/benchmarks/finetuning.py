"""Compare the test accuracy of fine-tuning with that of the frozen head, as the mean over seeds, by the stages.

    python -m tests.benchmarks.finetuning CASE [--seeds N] [--set KEY=VALUE …] FOLDER

CASE is one of those that `--help` lists. FOLDER holds train.csv and test.csv with columns text and label; the case
`reviews` reads data/reviews.csv instead, and `ants` the images in FOLDER/train and FOLDER/val.
`banking77-10-unlabelled` takes the labels away from all rows but 10 a class, and head and network learn from those rows
too. A seed decides the draw of the labels, the split where the data has none, and the training. Prints both accuracies
and the seconds of finetune for every seed, and their means. `--set` changes a setting of `finetune`, or of another
section: `--set train_head.final=all`.
"""

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from tests.benchmarks import few_label_tasks
from tests.projects import STAGES, make_project, set_params, stage_process

CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "banking77-10": ({"budget__per_class": 10, "prepare__validation": 0}, {"preset": "few_labels"}),
    "banking77-30": ({"budget__per_class": 30, "prepare__validation": 0}, {"preset": "few_labels"}),
    "banking77-10-unlabelled": (
        {"prepare__validation": 0, "train_head__unlabelled": "propagate"},
        {"preset": "few_labels", "unlabelled": "pseudo"},
    ),
    "banking77": (
        {"prepare__validation": 0},
        {"preset": "many_labels", "label_smoothing": 0.1, "layer_decay": 0.9, "epochs": 6},
    ),
    "sst2-50": ({"budget__per_class": 50}, {"preset": "many_labels"}),
    "reviews": ({"prepare__label": "sentiment"}, {"preset": "many_labels"}),
    "ants": (
        {f"backbone__{name}": value for name, value in few_label_tasks.backbone_settings("image").items()},
        {"preset": "many_labels"},
    ),
}


def take_labels_away(table: Path, target: Path, per_class: int, seed: int) -> None:
    """Write a table whose rows have no label, but for `per_class` random ones of every class."""
    rows = pd.read_csv(table)
    labelled = rows.groupby("label").sample(per_class, random_state=seed).index
    rows.loc[~rows.index.isin(labelled), "label"] = None
    rows.to_csv(target, index=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    changes, finetune = CASES[arguments.case]
    changes = changes | {f"finetune__{key}": value for key, value in finetune.items()}
    for name, value in (change.split("=") for change in arguments.set):
        section, _, key = name.rpartition(".")
        changes[f"{section or 'finetune'}__{key}"] = yaml.safe_load(value)
    print(arguments.case, json.dumps(changes))
    results = []
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder) / "project")
        data = project / "data/tables"
        data.mkdir()
        if arguments.case == "reviews":
            changes = changes | {"prepare__data": "data/reviews.csv"}
        elif arguments.case == "ants":
            for split, name in (("train", "train"), ("test", "val")):
                shutil.copytree(arguments.folder / name, data / split)
            changes = {"prepare__data": "data/tables", **changes}
        else:
            for name in ("train.csv", "test.csv"):
                shutil.copy(arguments.folder / name, data / name)
            changes = {"prepare__data": "data/tables", "prepare__label": "label", **changes}
        set_params(project, **changes)
        for seed in range(arguments.seeds):
            if "unlabelled" in arguments.case:
                take_labels_away(arguments.folder / "train.csv", data / "train.csv", 10, seed)
            set_params(project, budget__seed=seed, finetune__seed=seed, prepare__seed=seed)
            for name in STAGES:
                start = time.perf_counter()
                done = stage_process(project, name)
                if name == "finetune":
                    seconds = time.perf_counter() - start
                    print(done.stdout.strip())
            report = json.loads((project / "data/evaluation/details.json").read_text("utf-8"))
            results.append((report["head"]["accuracy"], report["finetuned"]["accuracy"], seconds))
            print(
                f"seed {seed}: head {results[-1][0]:.4f}, fine-tuned {results[-1][1]:.4f}, {seconds:.0f} s", flush=True
            )
    head, tuned, seconds = (statistics.mean(column) for column in zip(*results, strict=True))
    print(f"mean: head {head:.4f}, fine-tuned {tuned:.4f}, difference {tuned - head:+.4f}, {seconds:.0f} s")


if __name__ == "__main__":
    os.environ.setdefault("TQDM_DISABLE", "1")
    main()
