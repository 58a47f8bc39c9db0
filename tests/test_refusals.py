"""What does not fit together is refused with the stage to run."""

import shutil
from pathlib import Path

from tests.projects import ROOT, Verb, set_params


def test_stages_refuse_what_does_not_fit_together(trained: Path, verb: Verb) -> None:
    verb("finetune")
    assert "holds no model, since" in verb("predict", "data/finetuned", "x.csv", "o.parquet", check=False).stderr
    assert "must end in .parquet" in verb("predict", "data/head", "data/reviews.csv", "o.csv", check=False).stderr
    (trained / "new.csv").write_text("words\nx\n", "utf-8")
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


def test_a_verb_without_its_inputs_says_what_to_run(project: Path, verb: Verb) -> None:
    assert "data/prepared/train holds no part-*.parquet" in verb("extract", check=False).stderr
    assert (ROOT / "data/reviews.csv").read_bytes() == (project / "data/reviews.csv").read_bytes()
