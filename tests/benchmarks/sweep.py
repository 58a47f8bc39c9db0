"""Measure the seconds of train_head's sweep over C on cached features, against one scikit-learn fit at C = 10.

    python -m tests.benchmarks.sweep TRAIN.csv TEST.csv

The tables have columns `text` and `label`. They are extracted by the packaged MiniLM first (minutes, not timed).
"""

import json
import shutil
import tempfile
import time
from pathlib import Path

from sklearn.linear_model import LogisticRegression

from stages.tables import features
from tests.benchmarks import arguments
from tests.projects import make_project, run, set_params


def main() -> None:
    args = arguments.parse(__doc__, train=Path, test=Path)
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder) / "project")
        (project / "data/tables").mkdir()
        shutil.copy(args.train, project / "data/tables/train.csv")
        shutil.copy(args.test, project / "data/tables/test.csv")
        set_params(project, prepare__data="data/tables", prepare__label="label", prepare__validation=0)
        run(project, "dvc", "repro", "extract")
        start = time.perf_counter()
        done = run(project, "dvc", "repro", "train_head")
        seconds = time.perf_counter() - start
        print(*(line for line in done.stdout.splitlines() if line.startswith("train_head:")))
        run(project, "dvc", "repro")
        report = json.loads((project / "data/evaluation/details.json").read_text("utf-8"))
        rows = features.read(project / "data/features", "train")
    print(f"dvc repro train_head: {seconds:.1f} s, test accuracy {report['head']['accuracy']:.4f}")
    start = time.perf_counter()
    LogisticRegression(C=10, max_iter=1000).fit(rows.X, rows.labels.astype(str))
    print(f"one fit of scikit-learn's at C = 10: {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
