"""The gate in a repository, against revisions and folders."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.conftest import copy
from tests.dvc_here import dvc
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
    "evaluate__explain": 0,
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
    dvc(project, "commit", "-q", "--force")


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
    project = copy(repository, tmp_path / "project")
    git(project, "checkout", "-q", "main")
    dvc(project, "checkout", "-q")
    assert gate(project, "main").returncode == 0
    set_params(project, train_head__C=[5], train_head__kind="ridge")
    reproduce(project)
    done = gate(project, "main", "--markdown", "gate.md")
    page = (project / "gate.md").read_text("utf-8")
    assert done.returncode == 0, done.stdout
    assert (
        "| `train_head.kind` | logistic | ridge |" in page
        and r"| `train_head.C` | \[0.1, 1, 10, 100\] | \[5\] |" in page
    )
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
    (tmp_path / "empty").mkdir()
    zeros = "0" * 40  # as CI names the commit before the first
    for base, reason in {
        "main~1": "main~1 has no data/evaluation/predictions.parquet",
        zeros: f"git knows no revision {zeros} here",
        str(tmp_path / "empty"): f"{tmp_path}/empty/predictions.parquet does not exist",
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


@pytest.fixture
def mine(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the repository, to be changed, on the branch with shuffled labels."""
    return copy(repository, tmp_path / "project")


def test_a_baseline_that_cannot_be_read_is_not_one_that_was_never_made(mine: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    shutil.copy(mine / "data/evaluation/metrics.json", tmp_path / "other")
    shutil.rmtree(mine / ".dvc/cache")
    for base, reason in {
        "nowhere": "git knows no revision nowhere here",
        "main": "neither cache nor remote has data/evaluation/predictions.parquet of main; `dvc push` it where it was",
        str(tmp_path / "other"): f"{tmp_path}/other/predictions.parquet does not exist",
        str(tmp_path): f"{tmp_path}/predictions.parquet does not exist",
        "data": "data/predictions.parquet does not exist",
    }.items():
        done = gate(mine, base, "--allow-missing-baseline")
        assert done.returncode == 2 and "could not compare" in done.stdout and reason in done.stdout, base


def test_evaluations_of_other_rows_are_of_different_data(mine: Path) -> None:
    """The baseline has other test rows, and another label of one; the page says so, too."""
    lines = (mine / "data/rows.csv").read_text("utf-8").splitlines()
    one = lines[-1].rpartition(",")[0].rpartition(",")
    label = "b" if one[2] == "a" else "a"
    (mine / "data/rows.csv").write_text(
        "\n".join([*lines[:-11], f"{one[0]},{label},test", "a1 new,a,test"]) + "\n", "utf-8"
    )
    run_stages(mine)
    done = gate(mine, "main", "--markdown", "gate.md")
    sentence = "he two evaluations are of different test rows (1 new, 10 gone, 1 labelled otherwise): only the 3,989 in"
    assert f"gate: t{sentence}" in done.stdout, done.stdout
    assert f"T{sentence} common are compared." in (mine / "gate.md").read_text("utf-8")
    (mine / "data/rows.csv").write_text("\n".join([*lines, "e1 e2,e,train", "e3 e4,e,test"]) + "\n", "utf-8")
    run_stages(mine)
    done = gate(mine, "main", "--markdown", "gate.md")
    page = (mine / "gate.md").read_text("utf-8")
    for text in (done.stdout, page):
        assert "the classes differ: e is new" in text and "(1 new): nothing is compared" in text


def test_evaluations_of_an_earlier_version_are_read(mine: Path, tmp_path: Path) -> None:
    """Their metrics.json has all numbers, and there is no details.json."""
    old = Path(shutil.copytree(mine / "data/evaluation", tmp_path / "old"))
    (old / "details.json").rename(old / "metrics.json")
    done = gate(mine, str(old), "--evaluation", str(old), "--markdown", "gate.md")
    assert done.returncode == 0 and "| head | 0." in (mine / "gate.md").read_text("utf-8"), done.stderr
    shutil.copy(mine / "data/evaluation/metrics.json", old)
    assert gate(mine, str(old)).returncode == 0, "of the baseline, only the predictions count"
    done = gate(mine, "main", "--evaluation", str(old), "--markdown", "gate.md")
    assert done.returncode == 1
    assert (
        done.stderr
        == f"error: there is no evaluation to judge, as {old}/details.json does not exist; run `dvc repro`\n"
    )


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"head": 3, "labels_saved": {}}',
        '{"head": null, "labels_saved": null}',
        '{"head": {"accuracy": "high", "macro_f1": 1, "calibration_error": 0}, "labels_saved": {}}',
        '{"head": {"accuracy": 1, "macro_f1": 1, "calibration_error": 0}, "head_ci95": 1, "labels_saved": {}}',
    ],
)
def test_damaged_details_are_one_sentence(mine: Path, content: str) -> None:
    folder = mine / "data/evaluation"
    (folder / "details.json").unlink()
    (folder / "details.json").write_text(content, "utf-8")
    done = gate(mine, str(folder), "--markdown", "gate.md")
    assert done.returncode == 1 and not (mine / "gate.md").exists()
    assert done.stderr.startswith("error: the evaluation of data/evaluation is damaged (") and not done.stdout
    assert gate(mine, str(folder)).returncode == 0, "only the page needs them"


def test_metrics_in_git_without_predictions_are_no_missing_baseline(mine: Path) -> None:
    git(mine, "checkout", "-q", "main")
    git(mine, "rm", "-q", "dvc.lock")
    git(mine, "commit", "-qm", "without dvc.lock")
    git(mine, "checkout", "-q", "shuffled")
    done = gate(mine, "main", "--allow-missing-baseline")
    assert done.returncode == 2 and "main has no data/evaluation/predictions.parquet" in done.stdout


def test_a_change_does_not_pass_by_its_own_tolerances(mine: Path) -> None:
    loose = {"tolerance": 0.9, "floor": 0.1}
    set_params(mine, gate__metrics={"log_loss": {"higher_is_better": False, **loose}}, gate__bootstrap=100)
    done = gate(mine, "main", "--markdown", "gate.md")
    assert done.returncode == 1 and "macro_f1" in done.stdout, done.stdout
    page = (mine / "gate.md").read_text("utf-8")
    for name, before, now in [
        ("gate.metrics.accuracy.tolerance", "0.0", "not set"),
        ("gate.metrics.log_loss.tolerance", "not set", "0.9"),
        ("gate.bootstrap", "2000", "100"),
    ]:
        assert f"gate: {name} is {before} in main and {now} here; the stricter of both counts\n" in done.stdout
        assert f"| `{name}` | {before} | {now} |" in page
    assert "This change alters the gate; the stricter of both counts." in page


def test_settings_of_the_base_that_cannot_be_read_are_one_sentence(mine: Path) -> None:
    good = yaml.safe_load((mine / "params.yaml").read_text("utf-8"))
    for content, code, reason in [
        ("gate: [", 2, "gate: could not compare against broken: broken is damaged (unable to read: 'params.yaml'"),
        (
            yaml.safe_dump({**good, "gate": 1}),
            1,
            "error: section gate of params.yaml in broken is 1, but must be a map",
        ),
        (
            yaml.safe_dump({**good, "gate": {"metrics": {"accurcy": {}}}}),
            1,
            "error: section gate of params.yaml in broken: metrics.accurcy is not a setting; did you mean",
        ),
    ]:
        git(mine, "checkout", "-qB", "broken", "main")
        (mine / "params.yaml").write_text(content, "utf-8")
        git(mine, "commit", "-qam", "broken")
        git(mine, "checkout", "-q", "shuffled")
        done = gate(mine, "broken", "--allow-missing-baseline")
        assert done.returncode == code and reason in done.stdout + done.stderr, done.stdout + done.stderr


def test_a_folder_with_the_name_of_the_revision_is_not_the_baseline(mine: Path) -> None:
    shutil.copytree(mine / "data/evaluation", mine / "main")
    assert gate(mine, "main").returncode == 1
    assert gate(mine, "data/evaluation").returncode == 0


@pytest.mark.parametrize("kind", ["settings", "link", "folder", "no folder"])
def test_only_an_earlier_verdict_is_overwritten(mine: Path, kind: str) -> None:
    page = {"settings": "params.yaml", "link": "link.md", "folder": "data", "no folder": "params.yaml/gate.md"}[kind]
    (mine / "link.md").symlink_to("params.yaml")
    before = contents(mine)
    done = gate(mine, "main", "--markdown", page)
    assert done.returncode == 1 and done.stderr.startswith(f"error: {page} ") and done.stderr.count("\n") == 1
    assert contents(mine) == before


def test_an_earlier_verdict_does_not_outlive_an_error(mine: Path) -> None:
    for content in ("### gate: passed against main\n", ""):
        (mine / "gate.md").write_text(content, "utf-8")
        assert gate(mine, "main", "--markdown", "gate.md", "--evaluation", "nowhere").returncode == 1
        assert not (mine / "gate.md").exists()
    assert gate(mine, "main", "--markdown", "gate.md").returncode == 1
    assert (mine / "gate.md").read_text("utf-8").startswith("### gate: failed")


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


def test_a_project_below_the_root_of_its_repository(repository: Path, tmp_path: Path) -> None:
    """The baseline comes from the revision, and where the cache lacks it, from a remote that only this clone has."""
    project = tmp_path / "outer/team"
    shutil.copytree(repository, project, ignore=shutil.ignore_patterns(".git"))
    (tmp_path / "outer/other.txt").write_text("first", "utf-8")
    git(tmp_path / "outer", "init", "-q")
    git(tmp_path / "outer", "add", "other.txt")
    git(tmp_path / "outer", "commit", "-qm", "no project yet")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "a project")
    assert "passed against HEAD" in gate(project, "HEAD").stdout
    dvc(project, "remote", "add", "--local", "-d", "storage", str(tmp_path / "storage"))
    dvc(project, "push", "-q")
    shutil.rmtree(project / ".dvc/cache")
    done = gate(project, "HEAD")
    assert done.returncode == 0 and "4,000 test rows in common" in done.stdout, done.stdout + done.stderr
    done = gate(project, "HEAD~1")
    assert done.returncode == 2 and "HEAD~1 has no data/evaluation" in done.stdout
    assert gate(project, "HEAD~1", "--allow-missing-baseline").returncode == 0


def test_a_metric_that_the_rows_do_not_have_is_not_passed(repository: Path, tmp_path: Path) -> None:
    project = copy(repository, tmp_path / "project")
    for floor in (None, 0.99):
        set_params(project, gate__metrics={"roc_auc": {"floor": floor}})
        for arguments in (["HEAD"], [str(project / "data/evaluation")], ["0" * 40, "--allow-missing-baseline"]):
            done = gate(project, *arguments)
            assert done.returncode == 2, (floor, arguments)
            assert "roc_auc is not defined for the test rows" in done.stdout
