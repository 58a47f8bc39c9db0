"""What does not fit together is refused with the stage to run."""

import shutil
from pathlib import Path

from tests.projects import TFIDF, UP_TO_HEAD, Done, Verb, run_stages, set_params


def refused(done: Done, words: str) -> None:
    assert done.returncode == 1 and words in done.stderr, done.stderr


def test_predict_needs_a_model_in_the_folder(trained: Path, verb: Verb) -> None:
    verb("finetune")
    refused(verb("predict", "data/finetuned", "x.csv", "o.parquet", check=False), "holds no model, since")


def test_predict_writes_formats_that_it_knows(trained: Path, verb: Verb) -> None:
    done = verb("predict", "data/head", "data/reviews.csv", "o.html", check=False)
    refused(done, "o.html must end in .csv, .jsonl, .parquet or .xlsx")


def test_predict_names_the_column_that_a_table_lacks(trained: Path, verb: Verb) -> None:
    (trained / "new.csv").write_text("words\nx\n", "utf-8")
    done = verb("predict", "data/head", "new.csv", "o.parquet", check=False)
    assert done.returncode == 1 and done.stderr == "error: new.csv has no column text; it has words\n"


def test_evaluate_wants_the_features_that_the_head_was_trained_on(trained: Path, verb: Verb) -> None:
    set_params(trained, extract__pooling="cls")
    run_stages(trained, "finetune", "extract")
    refused(verb("evaluate", check=False), "features of another backbone")


def test_evaluate_without_a_head_names_the_file(trained: Path, verb: Verb) -> None:
    verb("finetune")
    shutil.rmtree(trained / "data/head")
    refused(verb("evaluate", check=False), "data/head/model.json does not exist")


def test_train_head_without_features_names_the_folder(trained: Path, verb: Verb) -> None:
    shutil.rmtree(trained / "data/features")
    refused(verb("train_head", check=False), "data/features/train holds no part-*.parquet")


def test_extract_without_prepared_rows_names_the_folder(project: Path, verb: Verb) -> None:
    refused(verb("extract", check=False), "data/prepared/train holds no part-*.parquet")


def test_fine_tuning_tfidf_is_refused(project: Path, verb: Verb) -> None:
    set_params(project, **TFIDF, finetune__method="full")
    run_stages(project, *UP_TO_HEAD)
    refused(verb("finetune", check=False), "tfidf has no weights to train")
    assert not (project / "data/finetuned").exists()
