"""Measure how often fine-tuning helps and hurts: what the stages ship for small tasks, against the frozen head.

    python -m tests.benchmarks.never_worse DATA [TASKS] [FIRST] [PRESETS ...]

TASKS (30) tasks are made at random from the data, see `random_draw` in tests/benchmarks/few_label_tasks.py, which also
has the files in DATA; FIRST (0) is the seed of the first. The stages run with the defaults of params.yaml and every
preset (auto and few_labels), so the validation rows decide on the epoch, and with auto on fine-tuning at all. A task is
better or worse if the 95 % interval of the paired difference of accuracies on up to 300 test rows is above or below 0.
Prints a line a task and preset, then a table.
"""

import os
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from stages.scores import proportions
from tests.benchmarks import arguments, few_label_tasks
from tests.benchmarks.few_label_tasks import Draw
from tests.projects import make_project, run_stages, set_params

TEST_ROWS = 300
PRESETS = ["auto", "few_labels"]
LIGHT = {"evaluate__learning_curve": [], "evaluate__bootstrap": 0, "evaluate__explain": 0}


class Verdict(NamedTuple):
    """How a fine-tuned model compares with the head: accuracies, the difference's interval, minutes of finetune."""

    head: float
    shipped: float
    low: float
    high: float
    minutes: float

    @property
    def word(self) -> str:
        return "helped" if self.low > 0 else "hurt" if self.high < 0 else "tied"

    @property
    def line(self) -> str:
        interval = f"{self.low:+.3f} to {self.high:+.3f}"
        return f"head {self.head:.3f}, shipped {self.shipped:.3f} ({interval}), {self.word}, {self.minutes:.1f} minutes"


def write(drawn: Draw, folder: Path) -> None:
    """Write the rows as prepare reads them: train.csv and test.csv, or folders of images."""
    parts = {"train": (drawn.inputs, drawn.y), "test": (drawn.test_inputs, drawn.test_y)}
    for split, (inputs, y) in parts.items():
        names = np.array(drawn.labels)[y]
        if drawn.modality == "text":
            folder.mkdir(exist_ok=True)
            pd.DataFrame({"text": inputs, "label": names}).to_csv(folder / f"{split}.csv", index=False)
            continue
        for index, (content, name) in enumerate(zip(inputs, names, strict=True)):
            path = folder / split / name / f"{index}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(content))


def prepare(project: Path, drawn: Draw) -> None:
    """Put the task into a project, and run its stages up to the head."""
    write(drawn, project / "data/raw")
    changes = {f"backbone__{name}": value for name, value in few_label_tasks.backbone_settings(drawn.modality).items()}
    changes |= {"prepare__data": "data/raw", "prepare__input": "text", "prepare__label": "label"}
    set_params(project, **changes, **LIGHT, runtime__device="cpu")
    run_stages(project, "prepare", "extract", "train_head")


def judge(project: Path, preset: str) -> Verdict:
    """Fine-tune with a preset, and compare with the head on the test rows."""
    set_params(project, finetune__preset=preset)
    start = time.process_time()
    run_stages(project, "finetune")
    minutes = (time.process_time() - start) / 60
    run_stages(project, "evaluate")
    table = pd.read_parquet(project / "data/evaluation/predictions.parquet")
    right = {model: (rows["predicted"] == rows["label"]).to_numpy() for model, rows in table.groupby("model")}
    head, shipped = right["head"], right.get("finetuned", right["head"])
    wins, losses = proportions.wins_and_losses(shipped, head)
    low, high = proportions.difference_interval(wins, losses, len(head))
    return Verdict(float(head.mean()), float(shipped.mean()), low, high, minutes)


def main() -> None:
    args = arguments.parse(__doc__, data=Path, tasks=30, first=0, presets=PRESETS)
    verdicts: dict[str, list[Verdict]] = {preset: [] for preset in args.presets}
    for seed in range(args.first, args.first + args.tasks):
        name, drawn = few_label_tasks.random_draw(args.data, seed, test_rows=TEST_ROWS)
        with tempfile.TemporaryDirectory() as folder:
            project = make_project(Path(folder) / "project")
            prepare(project, drawn)
            for preset in args.presets:
                verdict = judge(project, preset)
                verdicts[preset].append(verdict)
                task = f"{seed} {name}, {len(drawn.labels)} classes, {len(drawn.y)} rows"
                print(f"{task}, {preset}: {verdict.line}", flush=True)
    print("| preset | helped | tied | hurt | mean difference | minutes a task |\n|---|---|---|---|---|---|")
    for preset, results in verdicts.items():
        words = [verdict.word for verdict in results]
        counts = " | ".join(str(words.count(word)) for word in ("helped", "tied", "hurt"))
        gain = np.mean([verdict.shipped - verdict.head for verdict in results])
        print(f"| {preset} | {counts} | {gain:+.3f} | {np.mean([verdict.minutes for verdict in results]):.1f} |")


if __name__ == "__main__":
    os.environ.setdefault("TQDM_DISABLE", "1")
    main()
