"""predict: how sure it is of every row."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from stages.heads import certainty_file
from tests.conftest import copy
from tests.hostile.verbs import here, refused
from tests.projects import TFIDF, UP_TO_HEAD, make_project, run_stages, set_params, stage


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a head that tells orders from thanks; of every fifth text, the label is a coin's."""
    project = make_project(tmp_path_factory.mktemp("certainty") / "project")
    texts = [f"{'order' if n % 2 else 'thanks'} w{n}" if n % 5 else f"hello w{n}" for n in range(600)]
    lines = ["text,label", *(f"{text},{'ab'[(n // 5) % 2 if not n % 5 else n % 2]}" for n, text in enumerate(texts))]
    (project / "data/rows.csv").write_text("\n".join(lines), "utf-8")
    set_params(project, **TFIDF, prepare__data="data/rows.csv", prepare__label="label")
    return run_stages(project, *UP_TO_HEAD)


@pytest.fixture
def trained(model: Path, tmp_path: Path) -> Path:
    return copy(model, tmp_path / "project")


def predict(project: Path, *texts: str, header: str = "text") -> tuple[list[dict[str, Any]], str]:
    (project / "new.csv").write_text("\n".join([header, *texts]), "utf-8")
    printed = stage(project, "predict", "data/head", "new.csv", "out.parquet").stdout
    return pq.read_table(project / "out.parquet").to_pylist(), printed


def test_sure_rows_are_accepted_and_strange_ones_unfamiliar(trained: Path) -> None:
    (sure, unsure, strange, empty), printed = predict(trained, "order w5", "hello w6", "bonjour tristesse", '""')
    assert (sure["accepted"], sure["prediction_set"]) == (True, ["b"]) and sure["unfamiliar"] < 50
    assert unsure["accepted"] is False
    assert strange["unfamiliar"] == 100 and strange["accepted"] is False
    assert empty["accepted"] is empty["unfamiliar"] is empty["prediction_set"] is None
    assert "predict: rows are accepted from a confidence of 0." in printed
    assert "which meets predict.target_accuracy 0.95" in printed and "out-of-fold training rows" in printed


def test_settings_count_where_there_are_any_and_need_no_training(trained: Path) -> None:
    before = predict(trained, "order w5", "hello w6")[0]
    set_params(trained, predict__target_accuracy=0.9999, predict__coverage=0.995)
    rows, printed = predict(trained, "order w5", "hello w6")
    assert not rows[0]["accepted"] and "no row is accepted, as no confidence meets" in printed
    assert rows[1]["prediction_set"] == ["a", "b"] != before[1]["prediction_set"]
    (trained / "params.yaml").unlink()
    assert predict(trained, "order w5", "hello w6")[0] == before
    (trained / "params.yaml").write_text("of: another program", "utf-8")
    assert predict(trained, "order w5", "hello w6")[0] == before
    (trained / "params.yaml").write_text("predict: {coverage: 1}", "utf-8")
    done = here(trained, "predict", "data/head", "new.csv", "out.parquet")
    refused(done, "params.yaml: predict.coverage is 1, but must be less than 1")
    done = here(trained, "predict", "data/head", "new.csv", "out.parquet", "--params", "other.yaml")
    refused(done, "other.yaml does not exist")


def test_columns_of_the_input_with_these_names_are_kept(trained: Path) -> None:
    (row,), printed = predict(trained, "order w5,yes,no,maybe", header="text,accepted,unfamiliar,prediction_set")
    assert (row["input_accepted"], row["input_unfamiliar"], row["input_prediction_set"]) == ("yes", "no", "maybe")
    assert row["accepted"] is True and "accepted is input_accepted" in printed


def test_a_model_of_an_older_version_predicts_without_these_columns(trained: Path) -> None:
    (trained / "data/head" / certainty_file.FILE).unlink()
    (row,), printed = predict(trained, "order w5,yes", header="text,accepted")
    assert row.keys() == {"source", "text", "accepted", "predicted", "confidence", "p_a", "p_b", "rejected"}
    assert row["accepted"] == "yes" and "from a confidence" not in printed


def test_a_damaged_file_ends_in_one_sentence(trained: Path) -> None:
    (trained / "data/head" / certainty_file.FILE).write_bytes(b"x")
    done = here(trained, "predict", "data/head", "new.csv", "out.parquet")
    refused(done, "certainty.safetensors cannot be read")
