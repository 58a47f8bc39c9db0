"""An exported model of several labels gives the probabilities and the labels of predict."""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from stages.exporting import checking
from tests.conftest import Once
from tests.projects import QUICK, make_project, run, run_stages, set_params, stage

WORDS = {"bug": ("crash", "error"), "billing": ("invoice", "refund"), "high": ("now", "asap"), "low": ("later", "soon")}
TEXTS = ["my invoice gives an error now", "hello there", "crash later", "now soon asap refund"]


def make(folder: Path) -> Path:
    """Train on texts whose words tell any of two labels and exactly one of two others."""
    project, generator = make_project(folder), np.random.default_rng(0)
    lines = []
    for number in range(200):
        names = [name for name in ("bug", "billing") if generator.random() < 0.4]
        names.append(["high", "low"][number % 2])
        words = [str(generator.choice(WORDS[name])) for name in names]
        lines.append(json.dumps({"text": f"hello ticket{number} {' '.join(words)}", "tags": names}))
    (project / "data/rows.jsonl").write_text("\n".join(lines), "utf-8")
    set_params(project, **QUICK, prepare__data="data/rows.jsonl", prepare__label="tags")
    return run_stages(project, "prepare", "extract", "train_head", "finetune", "evaluate")


@pytest.fixture(scope="module")
def project(once: Once) -> Path:
    return once("labels that exclude each other", make)


@pytest.mark.parametrize("kind", ["logistic", "mlp"])
def test_it_gives_the_labels_of_predict(project: Path, kind: str) -> None:
    set_params(project, train_head__kind=kind)
    done = stage(project, "train_head", "data/features", f"data/{kind}")
    assert "every training row has exactly one of high, low; so has every prediction" in done.stdout
    stage(project, "export", f"data/{kind}", f"out_{kind}")
    (project / "new.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in TEXTS), "utf-8")
    stage(project, "predict", f"data/{kind}", "new.jsonl", "new.parquet")
    rows = pq.read_table(project / "new.parquet").to_pylist()
    model = checking.load(project / f"out_{kind}", "model.onnx")
    P = model.probabilities(TEXTS)
    np.testing.assert_allclose(P, [[row[f"p_{label}"] for label in model.labels] for row in rows], atol=1e-4)
    np.testing.assert_allclose(P[:, 2:].sum(axis=1), 1, atol=1e-6)
    printed = run(project, sys.executable, f"out_{kind}/run.py", *TEXTS).stdout.splitlines()
    assert [sorted(line.split("\t")[1::2]) for line in printed] == [row["predicted"] for row in rows]
    assert rows[0]["predicted"] == ["billing", "bug", "high"] and len(rows[1]["predicted"]) == 1


def test_its_readme_says_which_labels_exclude_each_other_and_has_their_metrics(project: Path) -> None:
    stage(project, "export", "data/head", "out")
    readme = (project / "out/README.md").read_text("utf-8")
    assert "exactly one of high, low" in readme and "| micro_f1 | " in readme
