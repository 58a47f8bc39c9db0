"""Fine-tuning as a process: kills, two processes, and full disks."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.finetuning import checkpoints
from tests.projects import Verb, contents, run, set_params


@pytest.mark.parametrize(("method", "contrastive"), [("full", 0.0), pytest.param("lora", 1.0, marks=pytest.mark.slow)])
def test_a_killed_run_resumes_and_ends_with_the_same_weights(
    trained: Path, verb: Verb, monkeypatch: pytest.MonkeyPatch, method: str, contrastive: float
) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(trained.parent / "cache"))
    set_params(
        trained,
        finetune__method=method,
        finetune__contrastive=contrastive,
        finetune__token_dropout=0.2,
        finetune__epochs=12,
        finetune__patience=None,
        runtime__checkpoint_steps=6,
    )
    verb("finetune")
    whole = contents(trained / "data/finetuned")
    runs = trained.parent / "cache/checkpoints"
    assert not list(runs.iterdir()), "a run that ended leaves no checkpoints"
    shutil.rmtree(trained / "data/finetuned")
    for least in (1, 18):  # steps of 48
        command = ["-m", "stages.finetune", "data/prepared", "data/features", "data/head", "data/finetuned"]
        process = subprocess.Popen([sys.executable, *command], cwd=trained, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            (run,) = runs.iterdir() if runs.exists() and list(runs.iterdir()) else (runs,)
            if (steps := checkpoints.steps(run)) and steps[-1] >= least:
                process.kill()
            time.sleep(0.003)
        assert process.wait() != 0
    assert not (trained / "data/finetuned").exists()
    done = verb("finetune")
    assert "finetune: resuming the killed run at step" in done.stderr
    assert contents(trained / "data/finetuned") == whole


@pytest.mark.slow
def test_two_processes_train_together(trained: Path) -> None:
    set_params(trained, finetune__method="full", finetune__epochs=2)
    stage = "stages.finetune data/prepared data/features data/head data/finetuned"
    # What `accelerate launch` starts for several GPUs; for CPUs it would want MPI.
    done = run(trained, *f"{sys.executable} -m torch.distributed.run --nproc_per_node 2 -m {stage}".split())
    assert done.stdout.count("finetune: full") == 1 and "4 steps" in done.stdout
    assert {"model.safetensors", "model.json"} <= contents(trained / "data/finetuned").keys()


def test_weights_on_a_full_disk_are_one_sentence(trained: Path, verb: Verb, disk: Callable[[str], Path]) -> None:
    set_params(trained, finetune__method="full", finetune__epochs=1)
    inputs = ["data/prepared", "data/features", "data/head"]
    for size in ("4k", "60k", "120k"):
        folder = disk(f"size={size}")
        done = verb("finetune", *inputs, str(folder / "out"), check=False)
        assert done.returncode == 1, done.stderr
        assert done.stderr.splitlines()[-1].startswith("error: the disk is full"), done.stderr
        assert "Traceback" not in done.stderr and not list(folder.iterdir())
