"""Checkpoints: a killed run resumes to the same weights, and a damaged checkpoint is never used."""

import json
import os
import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from stages.common import package
from stages.common.errors import HeadstartError
from stages.common.params import FinetuneParams, Modality
from stages.finetuning import checkpoints
from stages.finetuning.checkpoints import Checkpoint
from stages.finetuning.progress import Progress
from tests.finetuning.recipes import fresh, settings, train

THREE_EPOCHS = settings(epochs=3, contrastive=0.5)  # of five steps
Weights = dict[str, torch.Tensor]


class KilledError(Exception):
    pass


@pytest.fixture(scope="module")
def whole(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Weights:
    """The weights of a run on texts that nothing broke off."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_CACHE", str(tmp_path_factory.mktemp("whole")))
        return trained("text", tiny_encoder)


@pytest.fixture(scope="module")
def killed(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of checkpoints that a run on texts left, killed at step 10. Not to be changed."""
    cache = tmp_path_factory.mktemp("killed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_CACHE", str(cache))
        kill(10, "text", tiny_encoder)
    return cache / "checkpoints"


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the checkpoints of all runs, with nothing of other tests in it."""
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/checkpoints"


@pytest.fixture
def run(killed: Path, runs: Path) -> Path:
    """The folder of the only run, which was killed at step 10."""
    shutil.copytree(killed, runs)
    (only,) = runs.iterdir()
    return only


def kill(step: int, modality: Modality, tiny: Path, recipe: FinetuneParams = THREE_EPOCHS) -> None:
    """Train until a step, with a checkpoint every four, and break off there."""

    def end_step(self: Progress, loss: float) -> None:
        counted(self, loss)
        if self.step == step:
            raise KilledError

    counted = Progress.end_step
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(Progress, "end_step", end_step)
        train(fresh(modality, tiny, recipe), modality, recipe, checkpoint_steps=4)


def trained(modality: Modality, tiny: Path, recipe: FinetuneParams = THREE_EPOCHS) -> Weights:
    """Train, with a checkpoint every four steps, and return the weights."""
    network = fresh(modality, tiny, recipe)
    assert train(network, modality, recipe, checkpoint_steps=4).step == 15
    return network.state_dict()


def assert_equal(one: Weights, other: Weights) -> None:
    assert one.keys() == other.keys() and all(tensor.equal(other[name]) for name, tensor in one.items())


@pytest.mark.parametrize("modality", ["text", "image"])
def test_a_killed_run_resumes_to_the_same_weights(
    modality: Modality, tiny_encoder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = trained(modality, tiny_encoder)
    kill(10, modality, tiny_encoder)
    resumed = trained(modality, tiny_encoder)
    assert "finetune: resuming the killed run at step 8\n" in capsys.readouterr().err
    assert_equal(resumed, whole)


def test_a_run_killed_after_a_checkpoint_at_the_end_of_an_epoch_resumes_to_the_same_weights(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch, runs: Path, whole: Weights
) -> None:
    def write(run: Path, step: int, checkpoint: Checkpoint) -> None:
        written(run, step, checkpoint)
        if step == 10:
            raise KilledError

    written = checkpoints.write
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(checkpoints, "write", write)
        train(fresh("text", tiny_encoder, THREE_EPOCHS), "text", THREE_EPOCHS, checkpoint_steps=5)
    (run,) = runs.iterdir()
    assert checkpoints.steps(run) == [5, 10]
    assert_equal(trained("text", tiny_encoder), whole)


def test_a_run_that_ended_leaves_no_checkpoints(tiny_encoder: Path, runs: Path) -> None:
    trained("text", tiny_encoder)
    assert not list(runs.iterdir())


@pytest.mark.parametrize("patience", [None, 1])
def test_a_training_that_ended_is_not_repeated_before_the_run_ends(
    tiny_encoder: Path, runs: Path, capsys: pytest.CaptureFixture[str], patience: int | None
) -> None:
    recipe = settings(epochs=3, contrastive=0.5, patience=patience)
    networks = [fresh("text", tiny_encoder, recipe) for _ in range(2)]
    with pytest.raises(KilledError), ExitStack() as unfinished:
        first = train(networks[0], "text", recipe, checkpoint_steps=4, unfinished=unfinished)
        raise KilledError
    with ExitStack() as unfinished:
        again = train(networks[1], "text", recipe, checkpoint_steps=4, unfinished=unfinished)
    assert f"finetune: resuming the killed run at step {first.step}\n" in capsys.readouterr().err
    assert again.history == first.history
    assert_equal(*(network.state_dict() for network in networks))
    assert not list(runs.iterdir())


@pytest.mark.usefixtures("run")
def test_other_settings_are_another_run(tiny_encoder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kill(1, "text", tiny_encoder, settings(epochs=3, contrastive=0.5, weight_decay=0.1))
    assert "resuming" not in capsys.readouterr().err


@pytest.mark.usefixtures("run")
def test_other_code_is_another_run(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(package, "digest", lambda: "other code")
    kill(1, "text", tiny_encoder)
    assert "resuming" not in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied"])
def test_a_damaged_checkpoint_is_reported_and_the_older_one_taken(
    damage: str, tiny_encoder: Path, run: Path, whole: Weights, capsys: pytest.CaptureFixture[str]
) -> None:
    newest = run / "step-8.safetensors"
    content = newest.read_bytes()
    middle = len(content) // 2
    newest.write_bytes(
        {
            "cut": content[:-200],
            "flipped": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
            "emptied": b"",
        }[damage]
    )
    resumed = trained("text", tiny_encoder)
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"finetune: ignored the damaged checkpoint {newest} (")
    assert second == "finetune: resuming the killed run at step 4"
    assert_equal(resumed, whole)


def test_without_an_undamaged_checkpoint_training_starts_anew(
    tiny_encoder: Path, run: Path, whole: Weights, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checkpoints.steps(run) == [4, 8]
    for path in run.iterdir():
        os.truncate(path, path.stat().st_size - 200)
    again = trained("text", tiny_encoder)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 and all("ignored the damaged checkpoint" in line for line in lines[:2])
    assert lines[2] == "finetune: no undamaged checkpoint is left, so training starts anew"
    assert_equal(again, whole)


def test_a_run_has_two_checkpoints_of_plain_tensors_and_json(tiny_encoder: Path, runs: Path) -> None:
    kill(14, "text", tiny_encoder)
    (run,) = runs.iterdir()
    assert sorted(path.name for path in run.iterdir()) == ["step-12.safetensors", "step-8.safetensors"]
    content = (run / "step-12.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert json.loads(header.pop("__metadata__")["state"])["progress"]["step"] == 12
    assert {name.split("/")[0] for name in header} == {"network", "kept", "validation", "optimizer", "memory"}


def test_a_checkpoint_comes_back_as_it_was_written(tmp_path: Path) -> None:
    tensors = {
        "a": {"scalar": torch.tensor(2.5), "half": torch.ones(3, dtype=torch.bfloat16)},
        "b": {"last/channel": torch.arange(24.0).reshape(1, 2, 3, 4).to(memory_format=torch.channels_last)},
        "none": {},
    }
    checkpoints.write(tmp_path, 3, Checkpoint(tensors, {"rate": 0.1, "names": ["ä"]}))
    checkpoint = checkpoints.read_newest(tmp_path)
    assert checkpoint and checkpoint.state == {"rate": 0.1, "names": ["ä"]}
    for group, members in tensors.items():
        for name, tensor in members.items():
            assert checkpoint.tensors[group][name].equal(tensor)


def test_a_checkpoint_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(HeadstartError, match=r"step-3\.safetensors cannot be written \(.*; free space there, set "):
        checkpoints.write(tmp_path / "missing", 3, Checkpoint({}, {}))
