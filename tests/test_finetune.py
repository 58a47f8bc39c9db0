"""Features, fine-tuning, evaluation and prediction on a tiny encoder."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from stages.common import atomic
from stages.common.errors import HeadstartError
from stages.common.params import RuntimeParams
from stages.finetuning import checkpoints
from stages.finetuning import classifier as classifiers
from stages.heads import loading, model_card
from stages.tables import features
from tests.conftest import ROOT, contents, run, set_params

Verb = Callable[..., subprocess.CompletedProcess[str]]
CPU = RuntimeParams(device="cpu")


@pytest.fixture
def trained(project: Path, verb: Verb, tiny_encoder: Path) -> Path:
    """A project on the tiny encoder, up to the head; two classes that one word tells apart."""
    words = ["i", "this", "product", "is", "the", "a", "movie"]
    generator = np.random.default_rng(0)
    lines = ["text,category"]
    for n in range(160):
        text = " ".join(generator.choice(words, 20)) + f" {'love' if n % 2 else 'hate'} {n}"
        lines.append(f"{text},{'good' if n % 2 else 'bad'}")
    (project / "data/reviews.csv").write_text("\n".join(lines) + "\n")
    set_params(
        project,
        backbone__name=str(tiny_encoder),
        backbone__revision=None,
        extract__max_length=32,
        runtime__device="cpu",
        finetune__epochs=3,
        finetune__learning_rate=1e-3,
    )
    for name in ("prepare", "extract", "train_head"):
        verb(name)
    return project


def test_the_feature_table_keeps_its_contract(trained: Path) -> None:
    table = pq.read_table(trained / "data/features/train/part-00000.parquet")
    assert table.column_names == ["id", "label", "feature"]
    assert str(table.schema.field("feature").type) == "fixed_size_list<element: halffloat>[32]"
    read = features.read(trained / "data/features", "train")
    assert read.X.shape == (len(read.ids), 32) and read.X.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(read.X, axis=1), 1, atol=1e-3)
    assert read.metadata.dim == 32 and read.metadata.input == "text" and len(read.metadata.fingerprint) == 64


@pytest.mark.parametrize("kind", ["logistic", "ridge", "mlp"])
def test_step_0_of_fine_tuning_equals_the_head(trained: Path, verb: Verb, kind: str) -> None:
    from stages.common.params import BudgetParams
    from stages.finetune import _linear_layer

    set_params(trained, train_head__kind=kind)
    verb("train_head")
    head = trained / "data/head"
    described = model_card.read(head)
    assert described is not None
    test = features.read(trained / "data/features", "test")
    texts = pq.read_table(trained / "data/prepared/test")["text"].to_pylist()
    classifier = classifiers.pretrained(described, CPU)
    classifier.start_from(*_linear_layer(trained / "data/features", head, BudgetParams()))
    start = classifier.probabilities(texts)
    wanted = loading.load(head, described, test.X.shape[1])(test.X)
    if kind == "mlp":  # a logistic stand-in: the same decisions, not the same numbers
        assert (start.argmax(axis=1) == wanted.argmax(axis=1)).mean() > 0.8
    else:
        np.testing.assert_allclose(start, wanted, atol=1e-3)


def test_fine_tuning_learns_is_repeatable_and_is_evaluated_and_predicted(trained: Path, verb: Verb) -> None:
    assert verb("finetune").stdout.startswith("finetune: method none, nothing to train, in ")
    assert json.loads((trained / "data/finetuned/model.json").read_text()) == {"method": "none"}
    assert [path.name for path in (trained / "data/finetuned").iterdir()] == ["model.json"]
    verb("evaluate")
    report = json.loads((trained / "data/evaluation/metrics.json").read_text())
    assert "head" in report and "finetuned" not in report

    set_params(trained, finetune__method="full")
    verb("finetune")
    files = contents(trained / "data/finetuned")
    assert {"model.safetensors", "config.json", "tokenizer.json", "model.json"} <= files.keys()
    assert str(trained).encode() not in b"".join(files.values()), "no path of this machine in an artifact"
    training = json.loads(files["model.json"])["training"]
    best = training["epochs"][training["kept_epoch"] - 1]
    assert training["kept_epoch"] and best["log_loss"] < training["start"]["log_loss"]
    verb("finetune")
    assert files == contents(trained / "data/finetuned")

    verb("evaluate")
    report = json.loads((trained / "data/evaluation/metrics.json").read_text())
    assert report["finetuned"]["accuracy"] > 0.9 and report["finetuned_ci95"]["roc_auc"]["low"] > 0.5
    table = pq.read_table(trained / "data/evaluation/predictions.parquet").to_pylist()
    assert {row["model"] for row in table} == {"head", "finetuned", "baseline"}
    assert len(table) == 3 * report["test_rows"]
    tuned = {row["id"]: row["p_good"] for row in table if row["model"] == "finetuned"}

    (trained / "params.yaml").unlink()
    rows = pq.read_table(trained / "data/prepared/test").to_pylist()
    text = "text\n" + "".join(f"{row['text']}\n" for row in rows) + '""\n'
    (trained / "new.csv").write_text(text)
    verb("predict", "data/finetuned", "new.csv", "out.parquet")
    out = pq.read_table(trained / "out.parquet").to_pylist()
    assert len(out) == len(rows) + 1
    for row, given in zip(out, rows, strict=False):
        assert row["p_good"] == pytest.approx(tuned[given["id"]], abs=1e-6)
        assert row["predicted"] == ("good" if row["p_good"] > 0.5 else "bad") and row["rejected"] is None
    assert out[-1]["predicted"] is None and out[-1]["rejected"] == "text is empty"


@pytest.mark.parametrize(("method", "contrastive"), [("full", 0.0), ("lora", 1.0)])
def test_a_killed_run_goes_on_and_ends_with_the_same_weights(
    trained: Path, verb: Verb, method: str, contrastive: float
) -> None:
    set_params(
        trained,
        finetune__method=method,
        finetune__contrastive=contrastive,
        finetune__token_dropout=0.2,
        finetune__epochs=40,
        finetune__patience=None,
        runtime__checkpoint_steps=6,
    )
    verb("finetune")
    whole = contents(trained / "data/finetuned")
    runs = Path(os.environ["HEADSTART_CACHE"]) / "checkpoints"
    assert not list(runs.iterdir()), "a run that ended leaves no checkpoints"
    shutil.rmtree(trained / "data/finetuned")
    for least in (1, 60):  # steps of 160
        command = ["-m", "stages.finetune", "data/prepared", "data/features", "data/head", "data/finetuned"]
        process = subprocess.Popen([sys.executable, *command], cwd=trained, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            (run,) = runs.iterdir() if runs.exists() and list(runs.iterdir()) else (runs,)
            last = checkpoints.latest(run)
            if last and int(last.name.rpartition("-")[2]) >= least:
                process.kill()
            time.sleep(0.003)
        assert process.wait() == -signal.SIGKILL
    assert not (trained / "data/finetuned").exists()
    done = verb("finetune")
    assert "goes on from step" in done.stderr
    assert contents(trained / "data/finetuned") == whole


def test_two_processes_train_together(trained: Path) -> None:
    set_params(trained, finetune__method="full", finetune__epochs=2)
    stage = "stages.finetune data/prepared data/features data/head data/finetuned"
    # What `accelerate launch` starts for several GPUs; for CPUs it would want MPI.
    done = run(trained, *f"{sys.executable} -m torch.distributed.run --nproc_per_node 2 -m {stage}".split())
    assert done.stdout.count("finetune: full") == 1 and "4 steps" in done.stdout
    assert {"model.safetensors", "model.json"} <= contents(trained / "data/finetuned").keys()


def test_names_of_labels_are_texts_to_learn_from(trained: Path, verb: Verb) -> None:
    set_params(trained, finetune__method="full", finetune__epochs=1, finetune__contrastive=1.0)
    verb("finetune")
    without = model_card.read(trained / "data/finetuned")
    set_params(trained, finetune__label_names=True)
    verb("finetune")
    described = model_card.read(trained / "data/finetuned")
    assert described is not None and without is not None
    assert described.training["rows"] == without.training["rows"], "names are no rows"
    assert described.training["start"] == without.training["start"]
    assert described.training["epochs"] != without.training["epochs"]


def test_weights_on_a_full_disk_are_one_sentence(trained: Path, verb: Verb, disk: Callable[[str], Path]) -> None:
    set_params(trained, finetune__method="full", finetune__epochs=1)
    inputs = ["data/prepared", "data/features", "data/head"]
    for size in ("4k", "60k", "120k"):
        folder = disk(f"size={size}")
        done = verb("finetune", *inputs, str(folder / "out"), check=False)
        assert done.returncode == 1, done.stderr
        assert done.stderr.splitlines()[-1].startswith("error: the disk is full"), done.stderr
        assert "Traceback" not in done.stderr and not list(folder.iterdir())


def test_few_labels_are_few_for_validation_too(trained: Path, verb: Verb) -> None:
    set_params(trained, finetune__method="full", finetune__epochs=1, budget__per_class=4)
    verb("train_head")
    verb("finetune")
    described = model_card.read(trained / "data/finetuned")
    assert described is not None
    assert (described.training["rows"], described.training["validation_rows"]) == (8, 8)
    assert described.validation_temperature == 1, "too few rows to fit a temperature on"


def test_stages_refuse_what_does_not_fit_together(trained: Path, verb: Verb) -> None:
    verb("finetune")
    assert "holds no model, since" in verb("predict", "data/finetuned", "x.csv", "o.parquet", check=False).stderr
    assert "must end in .parquet" in verb("predict", "data/head", "data/reviews.csv", "o.csv", check=False).stderr
    (trained / "new.csv").write_text("words\nx\n")
    done = verb("predict", "data/head", "new.csv", "o.parquet", check=False)
    assert done.returncode == 1 and done.stderr == "error: new.csv has no column text; it has words\n"
    set_params(trained, extract__pooling="cls")
    verb("extract")
    done = verb("evaluate", check=False)
    assert done.returncode == 1 and "features of another backbone" in done.stderr
    shutil.rmtree(trained / "data/head")
    assert "data/head/model.json does not exist" in verb("evaluate", check=False).stderr
    shutil.rmtree(trained / "data/features")
    assert "data/features/train holds no part-*.parquet" in verb("train_head", check=False).stderr


def test_fine_tuning_tfidf_is_refused(project: Path, verb: Verb) -> None:
    set_params(project, backbone__family="tfidf", backbone__name="word", finetune__method="full")
    for name in ("prepare", "extract", "train_head"):
        verb(name)
    done = verb("finetune", check=False)
    assert done.returncode == 1 and "tfidf has no weights to train" in done.stderr
    assert not (project / "data/finetuned").exists()


def test_outputs_are_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with atomic.directory(target) as folder:
        (folder / "a").write_text("1")
    with pytest.raises(RuntimeError), atomic.directory(target) as folder:
        (folder / "a").write_text("2")
        raise RuntimeError
    with atomic.directory(target), pytest.raises(HeadstartError, match="being written"), atomic.directory(target):
        pass
    assert not list(target.iterdir()) and [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_stage_ends_with_dvc(trained: Path, tiny_encoder: Path) -> None:
    """Kill the parent of a stage that DVC started: the stage must not live on and write."""
    set_params(trained, finetune__method="full", finetune__epochs=10_000)
    stage = f"exec {sys.executable} -m stages.finetune data/prepared data/features data/head data/finetuned"
    code = f"import subprocess; child = subprocess.Popen({stage!r}, shell=True)"
    code += "; print(child.pid, flush=True); child.wait()"
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=trained,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "DVC_STAGE": "finetune"},
    )
    assert parent.stdout
    child = int(parent.stdout.readline())
    time.sleep(8)
    assert alive(child)
    parent.kill()
    deadline = time.monotonic() + 10
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.1)
    parent.stdout.close()
    assert not alive(child) and not (trained / "data/finetuned").exists()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_a_verb_without_its_inputs_says_what_to_run(project: Path, verb: Verb) -> None:
    assert "data/prepared/train holds no part-*.parquet" in verb("extract", check=False).stderr
    assert (ROOT / "data/reviews.csv").read_bytes() == (project / "data/reviews.csv").read_bytes()
