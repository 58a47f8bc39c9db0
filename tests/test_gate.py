"""The gate in a repository, against revisions and folders."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.projects import contents, git, make_project, run, run_stages, set_params, stage

SETTINGS: dict[str, object] = {
    "prepare__data": "data/rows.csv",
    "prepare__label": "label",
    "prepare__split": "split",
    "backbone__family": "tfidf",
    "backbone__name": "word",
    "backbone__revision": None,
    "evaluate__learning_curve": [],
    "evaluate__bootstrap": 0,
}


def table(path: Path, *, shuffled: float = 0.0) -> None:
    """4,000 test rows and 800 to train on, of which a share has a label by chance."""
    generator, chance = np.random.default_rng(0), np.random.default_rng(1)
    lines = ["text,label,split"]
    for row in range(4800):
        k = row % 4
        words = [f"{'abcd'[k]}{generator.integers(0, 30)}" for _ in range(3)] + [
            f"{generator.choice(list('abcd'))}{generator.integers(0, 30)}" for _ in range(3)
        ]
        split = "train" if row < 800 else "test"
        label = k
        if split == "train" and chance.random() < shuffled:
            label = (k + chance.integers(1, 4)) % 4
        lines.append(f"{' '.join(words)} n{row},{'abcd'[label]},{split}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def reproduce(project: Path) -> None:
    """Leave what `dvc repro` leaves, by stages in this process."""
    run_stages(project)
    run(project, "dvc", "commit", "-q", "--force")


def gate(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return stage(project, "gate", *arguments, check=False)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose main branch has an evaluation, and whose branch `shuffled` has a tenth of labels shuffled."""
    project = make_project(tmp_path_factory.mktemp("gate") / "project")
    table(project / "data/rows.csv")
    set_params(project, **SETTINGS)
    reproduce(project)
    git(project, "checkout", "-qb", "main")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "baseline")
    git(project, "checkout", "-qb", "shuffled")
    table(project / "data/rows.csv", shuffled=0.1)
    reproduce(project)
    git(project, "commit", "-qam", "a tenth of the labels shuffled")
    return project


def state(project: Path) -> dict[str, bytes]:
    """Every file but what DVC keeps for itself and compiled code."""
    passing = ("__pycache__", ".dvc/tmp")
    return {path: content for path, content in contents(project).items() if not any(name in path for name in passing)}


def test_shuffled_labels_fail_and_nothing_is_changed(repository: Path, tmp_path: Path) -> None:
    before = state(repository)
    done = gate(repository, "main", "--markdown", str(tmp_path / "gate.md"))
    assert done.returncode == 1 and "worse" in done.stdout and "failed against main" in done.stdout
    assert "4,000 test rows in common, 0 new, 0 lost, 0 with another label" in done.stdout
    assert state(repository) == before
    page = (tmp_path / "gate.md").read_text("utf-8")
    assert "### gate: failed against main" in page and "| accuracy | 0." in page and "| head | 0." in page


def test_the_same_rows_pass_and_settings_are_listed(repository: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(repository, project, symlinks=True)
    git(project, "checkout", "-q", "main")
    run(project, "dvc", "checkout", "-q")
    assert gate(project, "main").returncode == 0
    set_params(project, train_head__C=[5], train_head__kind="ridge")
    reproduce(project)
    done = gate(project, "main", "--markdown", "gate.md")
    page = (project / "gate.md").read_text("utf-8")
    assert done.returncode == 0, done.stdout
    assert "| `train_head.kind` | logistic | ridge |" in page and "| `train_head.C` | [0.1, 1, 10, 100] | [5] |" in page
    set_params(project, gate__metrics={"accuracy": {"floor": 0.999}})
    done = gate(project, "main")
    assert done.returncode == 1 and "worse than its floor 0.999" in done.stdout
    for metrics, sentence in {
        "accurcy: {}": "gate.metrics.accurcy is not a setting; did you mean gate.metrics.accuracy?",
        "accuracy: {tolerence: 1}": "gate.metrics.accuracy.tolerence is not a setting; did you mean gate.metrics",
        "{}": "gate.metrics is {}, but must have at least 1 item",
    }.items():
        set_params(project, gate__metrics=yaml.safe_load(metrics))
        done = gate(project, "main")
        assert done.returncode == 1 and done.stderr.startswith(f"error: params.yaml: {sentence}")


def test_folders_missing_baselines_and_damage(repository: Path, tmp_path: Path) -> None:
    evaluation = repository / "data/evaluation"
    assert gate(repository, str(evaluation)).returncode == 0, "with itself"
    for base, reason in {
        "nowhere": "git knows no revision nowhere here",
        "main~1": "main~1 has no data/evaluation/predictions.parquet, or neither cache nor remote has its content",
        str(tmp_path): f"{tmp_path}/predictions.parquet does not exist",
    }.items():
        done = gate(repository, base)
        assert done.returncode == 2 and "could not compare" in done.stdout and reason in done.stdout
        assert gate(repository, base, "--allow-missing-baseline").returncode == 0
    shutil.copytree(evaluation, tmp_path / "other")
    (tmp_path / "other/predictions.parquet").write_bytes(b"PAR1")
    done = gate(repository, str(tmp_path / "other"))
    assert done.returncode == 1 and done.stderr.startswith(f"error: the evaluation of {tmp_path / 'other'} is damaged")
    done = gate(repository, "main", "--evaluation", "data/nothing")
    assert done.returncode == 1 and "there is no evaluation to judge" in done.stderr


def test_another_seed_passes(tmp_path: Path, tiny_encoder: Path) -> None:
    project = make_project(tmp_path / "project")
    generator = np.random.default_rng(0)
    lines = ["text,label,split"]
    for row in range(500):
        word = ["love", "hate"][row % 2 if generator.random() < 0.8 else 1 - row % 2]
        lines.append(f"i {word} this product {row},{['good', 'bad'][row % 2]},{'train' if row < 200 else 'test'}")
    (project / "data/rows.csv").write_text("\n".join(lines) + "\n", "utf-8")
    changes = {"backbone__family": "transformers", "backbone__name": str(tiny_encoder), "extract__max_length": 32}
    finetuning = {"finetune__method": "full", "finetune__epochs": 2, "finetune__learning_rate": 1e-3}
    set_params(project, **{**SETTINGS, **changes, **finetuning, "runtime__device": "cpu"})
    run_stages(project)
    shutil.copytree(project / "data/evaluation", tmp_path / "first")
    set_params(project, finetune__seed=1)
    run_stages(project, "finetune", "evaluate")
    done = gate(project, str(tmp_path / "first"))
    assert done.returncode == 0 and "passed" in done.stdout


def test_a_run_loads_neither_torch_nor_a_backbone(repository: Path) -> None:
    code = """
import sys
from stages import gate
from stages.common import cli
sys.argv = ["gate", "main"]
print("exit code", cli.outcome(gate.main))
print([name for name in sys.modules if name == "torch" or name.startswith("stages.backbones")])
"""
    done = run(repository, sys.executable, "-c", code)
    assert done.stdout.splitlines()[-2:] == ["exit code 1", "[]"]
