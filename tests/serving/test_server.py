"""The server gives what predict gives, whatever form a request has."""

import base64
import json
import threading
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from stages.extraction import rows
from stages.serving import limits, served_model
from tests.conftest import Once
from tests.projects import UP_TO_HEAD, run_stages, set_params, stage
from tests.serving.servers import Server, make_mails, make_texts, picture

TEXTS = ["order 7", "thanks 8", "", "  ", None, 3, True, 2.5, "na\u00efve \u20ac \U0001f600", "x\0y", "order " * 200]


def predicted(project: Path, tmp_path: Path, new: Path, model: str = "head") -> list[dict[str, Any]]:
    """What predict says of rows, in the server's form."""
    stage(project, "predict", f"data/{model}", str(new), str(tmp_path / "out.parquet"))
    return [
        {
            "predicted": row["predicted"],
            "confidence": row["confidence"],
            "probabilities": None
            if row["rejected"]
            else {name.removeprefix("p_"): value for name, value in row.items() if name.startswith("p_")},
            **{name: row[name] for name in ("accepted", "unfamiliar", "prediction_set") if name in row},
            "rejected": row["rejected"],
        }
        for row in pq.read_table(tmp_path / "out.parquet").to_pylist()
    ]


def same(answers: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert len(answers) == len(expected)
    for answer, row in zip(answers, expected, strict=True):
        assert answer.keys() == row.keys()
        for name in row.keys() - {"confidence", "probabilities", "unfamiliar"}:
            assert answer[name] == row[name], name
        if row["rejected"] is None:
            assert answer["confidence"] == pytest.approx(row["confidence"], abs=1e-6)
            assert answer["unfamiliar"] == pytest.approx(row["unfamiliar"], abs=1e-3)
            assert answer["probabilities"] == pytest.approx(row["probabilities"], abs=1e-6)


@pytest.mark.parametrize("encoder", [False, True])
def test_texts_as_predict(texts: Server, tmp_path: Path, request: pytest.FixtureRequest, encoder: bool) -> None:
    """On TF-IDF, and on an encoder with other texts in its batches than predict has."""
    server = Server(request.getfixturevalue("trained")) if encoder else texts
    values = [*TEXTS, "\ud800", ["a"], {"b": 1}]
    (tmp_path / "new.jsonl").write_text("".join(json.dumps({"text": value}) + "\n" for value in values), "utf-8")
    expected = predicted(server.project, tmp_path, tmp_path / "new.jsonl")
    same(server.predict([value if not isinstance(value, dict) else {"text": value} for value in values]), expected)
    assert {row["rejected"] for row in expected} >= {"text is empty", "text is a list, not one value", None}
    for value, row in zip(values[:4], expected[:4], strict=True):
        same(server.predict(value), [row])
    assert server.client.post("/predict", json={"inputs": [{"text": "order", "more": 1}]}).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_fine_tuned_model_as_predict(trained: Path, tmp_path: Path, method: str) -> None:
    set_params(trained, finetune__method=method, finetune__epochs=1)
    run_stages(trained, "finetune")
    server = Server(trained, model="finetuned")
    values = [f"i {'love' if n % 2 else 'hate'} this movie {n}" for n in range(9)]
    (tmp_path / "new.jsonl").write_text("".join(json.dumps({"text": value}) + "\n" for value in values), "utf-8")
    same(server.predict(values), predicted(trained, tmp_path, tmp_path / "new.jsonl", "finetuned"))
    answer = server.client.post("/explain", json={"inputs": values[0]}).json()
    assert answer["explanation"]["parts"] and answer["nearest"] is None
    assert "fine-tuned" in server.models.current.no_training_rows


@pytest.mark.slow
def test_pairs_as_predict(trained: Path, tmp_path: Path) -> None:
    lines = ["first,second,category"]
    lines += [f"i {'love' if n % 2 else 'hate'} this,movie {n},{'ab'[n % 2]}" for n in range(80)]
    (trained / "data/reviews.csv").write_text("\n".join(lines), "utf-8")
    set_params(trained, prepare__input=["first", "second"], extract__combine="pair")
    run_stages(trained, *UP_TO_HEAD)
    rows = [
        {"first": "i love this", "second": "movie"},
        {"first": "", "second": "the best"},
        {"first": " ", "second": None},
    ]
    (tmp_path / "new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    server = Server(trained)
    same(server.predict(rows), predicted(trained, tmp_path, tmp_path / "new.jsonl"))
    assert server.client.post("/explain", json={"inputs": rows[0]}).json()["nearest"]


def test_columns_as_predict(mails: Server, tmp_path: Path) -> None:
    rows = [{"subject": "order", "body": ""}, {"subject": "", "body": "thanks"}, {"subject": None, "body": " "}]
    (tmp_path / "new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    expected = predicted(mails.project, tmp_path, tmp_path / "new.jsonl")
    same(mails.predict(rows), expected)
    form = [("subject", (None, str(row["subject"] or ""))) for row in rows]
    form += [("body", (None, str(row["body"] or ""))) for row in rows]
    same(mails.client.post("/predict", files=form).json()["predictions"], expected)
    mails.refused(422, "input 1 is one value; send an object with subject, body", json={"inputs": ["order"]})
    mails.refused(
        422, "input 2 has no column body; it has subject, text", json={"inputs": [rows[0], {"subject": 1, "text": 2}]}
    )
    mails.refused(
        422, "the form has 2 of subject, 1 of body", files=[("subject", (None, "a"))] * 2 + [("body", (None, "b"))]
    )
    mails.refused(422, "did you mean subject?", files=[("subjects", (None, "a"))])


def test_pictures_as_predict(pictures: Server, tmp_path: Path) -> None:
    files = {
        "a.png": picture("red", 100),
        "b.jpg": picture("blue", 101, kind="JPEG"),
        "c.bmp": picture("blue", 102, side=300, kind="BMP"),
        "cut.png": picture("red", 103)[:-40],
        "text.png": b"no picture",
        "zero.png": b"",
    }
    (tmp_path / "new").mkdir()
    for name, content in files.items():
        (tmp_path / "new" / name).write_bytes(content)
    expected = predicted(pictures.project, tmp_path, tmp_path / "new")
    assert [row["predicted"] for row in expected[:3]] == ["red", "blue", "blue"]
    form = pictures.client.post("/predict", files=[("file", (name, content)) for name, content in files.items()])
    reasons = [row["rejected"] for row in expected]
    assert "is not an image" in reasons[4] and "cut.png cannot be decoded" in reasons[3]
    expected[5]["rejected"] = "image is empty"  # a file on the disk has a name, and an empty field none
    same(form.json()["predictions"], expected)
    inputs = [base64.b64encode(content).decode() for content in files.values()]
    inputs[1] = f"data:image/jpeg;base64,{inputs[1]}"
    inputs[2] = base64.urlsafe_b64encode(files["c.bmp"]).decode().rstrip("=")
    for name, row in zip(files, expected, strict=True):
        row["rejected"] = row["rejected"] and row["rejected"].replace(name, "the image")
    same(pictures.predict(inputs), expected)
    same(pictures.predict([{"image": value} for value in inputs]), expected)


NO_PICTURES = {
    None: "is empty",
    "": "is empty",
    7: "a number, not",
    (): "a list, not",
    "data/pictures/red/1.png": "not an image as base64",
    "/etc/passwd": "is not an image in one of",  # it is base64
    "http://127.0.0.1:9/x.png": "not an image as base64",
    "====": "not an image as base64",
    "\ud800": "not an image as base64",
}


@pytest.mark.parametrize(("value", "reason"), NO_PICTURES.items())
def test_what_is_no_picture_is_rejected_and_no_path_is_opened(pictures: Server, value: object, reason: str) -> None:
    body = json.dumps({"inputs": [value]}).encode()
    answer = pictures.client.post("/predict", content=body, headers={"content-type": "application/json"})
    (row,) = answer.json()["predictions"]
    assert reason in row["rejected"] and row["predicted"] is None, row


def test_requests_of_many_clients_are_computed_together_and_as_alone(
    texts: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = [[f"{'order' if n % 2 else 'thanks'} {n}", f"dear {n}"] for n in range(40)]
    alone = [texts.predict(pair) for pair in inputs]
    before, together = texts.numbers(), [[{}] for _ in inputs]
    monkeypatch.setattr(limits, "COLLECT_SECONDS", 0.5)  # a busy machine takes more than 4 ms from one to the next

    def ask(number: int) -> None:
        together[number] = texts.predict(inputs[number])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone
    after = texts.numbers()
    counted = {name: after[name] - before[name] for name in ("headstart_batch_rows_count", "headstart_batch_rows_sum")}
    assert counted["headstart_batch_rows_sum"] == 80 and counted["headstart_batch_rows_count"] < 40


def test_explain_tells_what_decided_and_the_nearest_rows(texts: Server, pictures: Server) -> None:
    answer = texts.client.post("/explain", json={"inputs": "an order for you"}).json()
    assert answer["predicted"] == "a" and answer["rejected"] is None
    parts = answer["explanation"]["parts"]
    assert max(parts, key=lambda part: part["share"])["words"] == " order"
    assert [row["label"] for row in answer["nearest"]] == ["a"] * 5 and "order" in answer["nearest"][0]["input"]
    similar = [row["similarity"] for row in answer["nearest"]]
    assert similar == sorted(similar, reverse=True) and answer["nearest"][0]["source"].startswith("rows.csv:")
    shown = pictures.client.post("/explain", files={"image": ("x.png", picture("red", 200))}).json()
    assert shown["predicted"] == "red" and all(len(part["box"]) == 4 for part in shown["explanation"]["parts"])
    assert shown["nearest"][0]["input"].startswith("data:image/jpeg;base64,")
    empty = texts.client.post("/explain", json={"inputs": [" "]}).json()
    assert (empty["rejected"], empty["explanation"], empty["nearest"]) == ("text is empty", None, None)
    texts.refused(413, "send at most 1 at a time", path="/explain", json={"inputs": ["a", "b"]})


def test_without_tables_of_training_rows_explain_leaves_them_out(once: Once, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/head").symlink_to(once("serving-texts", make_texts) / "data/head", target_is_directory=True)
    server = Server(tmp_path)
    assert "data/features/train" in server.models.current.no_training_rows
    assert server.client.get("/model").json()["has_training_rows"] is False
    answer = server.client.post("/explain", json={"inputs": "order"}).json()
    assert answer["explanation"]["parts"] and answer["nearest"] is None
    (tmp_path / "data/features").symlink_to(
        once("serving-mails", make_mails) / "data/features", target_is_directory=True
    )
    assert "another backbone" in Server(tmp_path).models.current.no_training_rows


def test_metrics_count_requests_rows_and_errors(once: Once) -> None:
    server = Server(once("serving-texts", make_texts))
    server.predict(["order", "", "thanks"])
    server.refused(422, "not valid JSON", content=b"{", headers={"content-type": "application/json"})
    server.client.get("/whatever/is/asked")
    numbers = server.numbers()
    assert (
        numbers['headstart_rows_total{result="classified"}'] == 2
        and numbers['headstart_rows_total{result="rejected"}'] == 1
    )
    assert numbers['headstart_requests_total{path="/predict",status="200"}'] == 1
    assert numbers['headstart_requests_total{path="/predict",status="422"}'] == 1
    assert numbers['headstart_requests_total{path="other",status="404"}'] == 1
    assert numbers['headstart_request_seconds_count{path="/predict"}'] == 2
    assert numbers["headstart_waiting_rows"] == 0 and numbers["headstart_batch_seconds_count"] == 1


def test_openapi_describes_every_path(texts: Server) -> None:
    described = texts.client.get("/openapi.json").json()
    assert set(described["paths"]) == {"/predict", "/explain", "/healthz", "/model", "/metrics"}
    body = described["paths"]["/predict"]["post"]["requestBody"]["content"]
    assert set(body) == {"application/json", "multipart/form-data"}
    answers = described["paths"]["/predict"]["post"]["responses"]
    assert {"200", "413", "422", "503", "504"} <= set(answers)
    schema = answers["200"]["content"]["application/json"]["schema"]["properties"]["predictions"]["items"]
    described_keys = [name for name in schema["properties"] if name not in ("low", "high")]  # of numbers
    assert described_keys == list(texts.predict("order")[0])


def test_large_batches_look_into_the_row_cache(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small ones do not: to open it takes longer than to compute them. Both get the same vectors."""
    server, opened = Server(trained), []
    look_up = rows.encode.look_up
    monkeypatch.setattr(rows.encode, "look_up", lambda *arguments: opened.append(1) or look_up(*arguments))
    texts = [f"i love this movie {n}" for n in range(served_model.MIN_LOOKED_UP_ROWS)]
    small = [server.predict(text)[0] for text in texts[:3]]
    assert not opened
    large = server.predict(texts)
    assert opened == [1]
    same(large[:3], small)


def test_explaining_keeps_no_others_waiting(once: Once, monkeypatch: pytest.MonkeyPatch) -> None:
    """One row is explained at a time; the others wait without a thread, and no longer than their time."""
    server = Server(once("serving-texts", make_texts))
    go, explain = threading.Event(), server.classifying.explain
    monkeypatch.setattr(server.classifying, "explain", lambda *request: explain(*request) if go.wait(20) else b"")
    statuses: list[int] = []

    def ask() -> None:
        statuses.append(server.client.post("/explain", json={"inputs": "order"}).status_code)

    threads = [threading.Thread(target=ask) for _ in range(limits.MAX_REQUESTS_AT_ONCE // 8)]
    with server.client:  # one event loop for all
        for thread in threads:
            thread.start()
        assert server.predict("order")[0]["predicted"] == "a"
        go.set()
        for thread in threads:
            thread.join()
    assert statuses == [200] * len(threads)
