"""Labels from the page: which row comes next, what is stored, and what is taken back."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.common import params
from stages.labelling.inputs import Inputs
from stages.labelling.queues import MAX_SILENCE, Queues
from stages.tables import labels_file, prepared, shards, splitting
from tests.conftest import Once, copy
from tests.labelling.desks import Desk, make_pictures, make_texts
from tests.projects import run_stages, set_params


@pytest.fixture
def project(tmp_path: Path, once: Once) -> Path:
    return copy(once("labelling-texts", make_texts), tmp_path / "project")


@pytest.fixture
def desk(project: Path) -> Desk:
    desk = Desk(project)
    desk.learn()
    return desk


@pytest.fixture
def few(tmp_path: Path, once: Once) -> Desk:
    """A desk of 30 rows without a label."""
    desk = Desk(copy(once("labelling-few", partial(make_texts, rows=60)), tmp_path / "few"))
    desk.learn()
    return desk


@pytest.fixture
def bare(tmp_path: Path, once: Once) -> Path:
    """A project without any label."""
    return copy(once("labelling-bare", partial(make_texts, labelled=0)), tmp_path / "bare")


def natural(project: Path, row_id: str) -> str:
    settings = params.load(project / "params.yaml").prepare
    return splitting.Shares(settings.validation, settings.test, settings.seed).natural(row_id)


def test_a_label_is_stored_at_once_with_the_split_of_its_queue(desk: Desk) -> None:
    for queue in ("suggested", "random") * 4:
        row = desk.view(queue=queue)["row"]
        desk.label("fruit", queue=queue)
        line = desk.stored()[-1]
        assert (line["id"], line["name"], line["label"]) == (row["id"], row["texts"][0][1], "fruit")
        assert line["split"] == row["split"] == natural(desk.project, row["id"])
        assert (line["split"] == "train") == (queue == "suggested")
    assert desk.view()["state"]["labels"] == 8


def test_the_guess_comes_first_with_its_probability(desk: Desk) -> None:
    guesses = desk.view()["row"]["guesses"]
    shares = [guess["share"] for guess in guesses]
    assert {guess["name"] for guess in guesses} == {"fruit", "tool", "bird"}
    assert shares == sorted(shares, reverse=True) and sum(shares) == pytest.approx(1, abs=1e-3)


def test_tabs_at_once_never_get_the_same_row_and_lose_none(few: Desk) -> None:
    def work(tab: str) -> list[str]:
        rows = []
        for queue in ("suggested", "random"):
            while row := few.view(tab, queue)["row"]:
                rows.append(row["id"])
                few.post("/label", tab, queue, id=row["id"], label="tool")
                few.learn()
        return rows

    with ThreadPoolExecutor(3) as pool:
        rows = [row for done in pool.map(work, ("one", "two", "three")) for row in done]
    stored = [line["id"] for line in few.stored()]
    assert len(rows) == len(set(rows)) and sorted(rows) == sorted(stored)
    few.learn()  # of three at once, an older one may have ended last
    assert "nearly copies" in few.view()["wait"] and "No random row is left" in few.view(queue="random")["wait"]


def test_undo_takes_back_the_last_answer_of_its_own_tab(desk: Desk) -> None:
    first = desk.view("one")["row"]
    desk.label("tool", "one")
    second = desk.view("two")["row"]
    desk.label("bird", "two")
    assert desk.post("/undo", "one")["row"] == first
    assert list(labels_file.read(desk.labels).by_id) == [second["id"]]
    assert [line["label"] for line in desk.stored()] == ["tool", "bird", ""]
    desk.label("fruit", "one")
    assert labels_file.read(desk.labels).by_id[first["id"]].label == "fruit"
    assert desk.post("/undo", "three") == {"error": "there is nothing to undo in this tab"}


def test_undo_of_a_random_row_comes_back_to_its_queue(desk: Desk) -> None:
    row = desk.view(queue="random")["row"]
    desk.label("tool", queue="random")
    desk.view(queue="suggested")
    answer = desk.post("/undo", queue="suggested")
    assert (answer["queue"], answer["row"]) == ("random", row)


def test_skipped_rows_come_last_and_unsure_ones_not_again(desk: Desk) -> None:
    skipped, unsure = (desk.view(queue="random")["row"]["id"], None)
    desk.post("/aside", queue="random", id=skipped, kind="skip")
    unsure = desk.view(queue="random")["row"]["id"]
    desk.post("/aside", queue="random", id=unsure, kind="unsure")
    rows = []
    while row := desk.view(queue="random")["row"]:
        rows.append(row["id"])
        desk.label("tool", queue="random")
    assert rows[-1] == skipped and unsure not in rows and rows.count(skipped) == 1
    assert unsure not in {line["id"] for line in desk.stored()}


@pytest.mark.parametrize("kind", ["skip", "unsure"])
def test_undo_brings_back_a_row_that_was_put_aside(desk: Desk, kind: str) -> None:
    row = desk.view()["row"]
    assert desk.post("/aside", id=row["id"], kind=kind)["row"] != row
    assert desk.post("/undo")["row"] == row and not desk.stored()


def test_suggestions_skip_over_skipped_rows_until_there_are_no_others(few: Desk) -> None:
    skipped = set()
    for _ in range(8):
        row = few.view()["row"]
        assert row["id"] not in skipped
        skipped.add(row["id"])
        few.post("/aside", id=row["id"], kind="skip")
        few.learn()
    again = []
    while row := few.view()["row"]:
        again.append(row["id"] in skipped)
        few.label("tool")
        few.learn()
    assert again[-1] and again == sorted(again)


def test_a_restart_asks_for_no_row_again(desk: Desk) -> None:
    desk.label("tool")
    desk.label("bird", queue="random")
    desk.label("bird")
    desk.post("/undo")
    labelled, again = ({line["id"] for line in desk.stored() if bool(line["label"]) == is_kept} for is_kept in (1, 0))
    other = Desk(desk.project)
    other.learn()
    assert other.view()["state"]["labels"] == 2
    seen = set()
    for queue in ("suggested", "random"):
        while row := other.view(queue=queue)["row"]:
            seen.add(row["id"])
            other.label("tool", queue=queue)
            if len(seen) % 10 == 0:
                other.learn()
    assert again <= seen and not (labelled - again) & seen


def test_from_no_label_on_classes_are_named_and_guesses_follow(bare: Path) -> None:
    desk = Desk(bare)
    desk.learn()
    first = desk.view()
    assert first["state"]["classes"] == [] and first["row"]["guesses"] == []
    desk.label(" fruit ")
    desk.label("tool: \"a\", 'b' <i>")
    desk.learn()
    answer = desk.view("two")
    assert answer["state"]["classes"] == ["fruit", "tool: \"a\", 'b' <i>"]
    assert {guess["name"] for guess in answer["row"]["guesses"]} == {"fruit", "tool: \"a\", 'b' <i>"}
    assert [line["label"] for line in desk.stored()] == ["fruit", "tool: \"a\", 'b' <i>"]


@pytest.mark.parametrize("label", ["", "  ", "a\nb", "a\0", "x" * 201, "\x1b[31m", "\ud800"])
def test_a_class_needs_a_name_of_one_line(desk: Desk, label: str) -> None:
    row = desk.view()["row"]
    body = json.dumps({"tab": "one", "queue": "suggested", "id": row["id"], "label": label})
    answer = desk.client.post("/label", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (409, 422) and not desk.stored()
    assert desk.view()["row"] == row


def test_classes_keep_their_order_when_one_is_added(desk: Desk) -> None:
    desk.label("aardvark")
    assert desk.view()["state"]["classes"] == ["bird", "fruit", "tool", "aardvark"]


def test_accuracy_on_validation_rows_is_followed(desk: Desk) -> None:
    word = {"apple": "fruit", "pear": "fruit", "plum": "fruit", "cherry": "fruit"}
    word |= dict.fromkeys(("hammer", "saw", "drill", "pliers"), "tool")

    def answer(queue: str) -> None:
        text = desk.view(queue=queue)["row"]["texts"][0][1]
        desk.label(word.get(text.split()[0], "bird"), queue=queue)

    for _ in range(12):
        answer("random")
        answer("suggested")
        desk.learn()
    curve = desk.view()["state"]["curve"]
    counts = [count for count, _ in curve["points"]]
    assert counts == sorted(set(counts)) and len(counts) > 5 and counts[0] >= 20
    judged = 2 + sum(line["split"] == "validation" for line in desk.stored())
    assert f"of {judged} validation rows are right" in curve["say"] and f"with {counts[-1]} training" in curve["say"]


def test_the_page_says_how_many_test_rows_are_missing_and_why(desk: Desk) -> None:
    before = desk.view()["state"]["test"]
    assert f"{100 - before['rows']} more, about" in before["say"] and "±0.10" in before["say"]
    assert "Suggested rows cannot test" in before["say"]
    while desk.view(queue="random")["row"]:
        desk.label("tool", queue="random")
    tested = sum(line["split"] == "test" for line in desk.stored())
    after = desk.view()["state"]["test"]
    assert tested and after["rows"] == before["rows"] + tested
    assert "no random row is left: add rows without a label" in after["say"]


def test_enough_test_rows(tmp_path: Path) -> None:
    make_texts(tmp_path / "project", rows=700, labelled=600)
    test = Desk(tmp_path / "project").view()["state"]["test"]
    assert test["rows"] >= 100 and test["say"].startswith("Enough for an honest test")


def test_without_test_rows_to_cut_random_rows_only_validate(project: Path) -> None:
    set_params(project, prepare__test=0)
    run_stages(project, "prepare", "extract")
    desk = Desk(project)
    desk.learn()
    assert "prepare.test is 0" in desk.view()["state"]["test"]["say"]
    while desk.view(queue="random")["row"]:
        desk.label("tool", queue="random")
    assert {line["split"] for line in desk.stored()} == {"validation"}


def test_without_test_rows_to_cut_those_of_earlier_labels_still_test(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bare)
    desk = Desk(bare)
    desk.learn()
    desk.label("tool")  # a class without a training row is left out
    while desk.view(queue="random")["row"]:
        desk.label("tool", queue="random")
    set_params(bare, prepare__test=0)
    run_stages(bare, "prepare", "extract")
    tested = sum(line["split"] == "test" for line in desk.stored())
    test = Desk(bare).view()["state"]["test"]
    assert tested and test["rows"] == tested and test["needed"] == 0
    assert f"{tested} test rows of the file of labels still do" in test["say"]


def test_new_tables_are_taken_over(desk: Desk) -> None:
    shown = desk.view("two")["row"]
    desk.label("tool")
    desk.label("fruit", queue="random")
    labelled = {line["id"] for line in desk.stored()}
    run_stages(desk.project, "prepare", "extract")
    waiting = prepared.identities(desk.project / "data/prepared", "unlabelled")["id"].to_pylist()
    assert not labelled & set(waiting)
    desk.learn()
    assert desk.view("two")["row"] == shown  # what a person looks at does not change
    desk.label("bird", "two")
    assert desk.stored()[-1]["id"] == shown["id"]
    assert desk.post("/undo", "one")["row"]["id"] in labelled  # of a row that the tables have by now
    assert desk.stored()[-1]["label"] == ""


def test_while_tables_are_made_again_labels_are_stored_and_rows_wait(desk: Desk) -> None:
    row = desk.view()["row"]
    shutil.move(desk.project / "data/prepared", desk.project / "data/away")
    desk.learn()
    assert "while `dvc repro` makes new tables" in desk.view()["state"]["notes"][0]
    answer = desk.post("/label", id=row["id"], label="tool")
    assert "cannot be read" in answer["error"] and desk.stored()[-1]["id"] == row["id"]
    shutil.move(desk.project / "data/away", desk.project / "data/prepared")
    desk.learn()
    answer = desk.view()
    assert answer["row"]["id"] != row["id"] and not answer["state"]["notes"]


def test_a_table_that_was_replaced_gives_no_wrong_row(desk: Desk) -> None:
    shown = desk.view()["row"]
    shutil.rmtree(desk.project / "data/prepared")
    table = desk.project / "data/rows.csv"
    lines = table.read_text("utf-8").splitlines()
    table.write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n", "utf-8")
    run_stages(desk.project, "prepare")
    answer = desk.label("tool")  # before the change is noticed
    assert "was made again" in answer["error"] and desk.stored()[-1]["id"] == shown["id"]
    desk.learn()
    assert desk.view()["row"]["id"] != shown["id"]


def test_a_click_reads_one_row_group_and_scans_no_table(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    read, groups = pq.ParquetFile.read_row_group, []

    def counted(shard: pq.ParquetFile, group: int, columns: list[str]) -> pa.Table:
        groups.append(group)
        return read(shard, group, columns=columns)

    def scanned(*_: object, **__: object) -> None:
        raise AssertionError("a table is scanned")

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    for name in ("read", "read_all"):
        monkeypatch.setattr(shards, name, scanned)
    for number in range(1, 6):
        desk.label("tool", queue="random")
        assert len(groups) == number + 1  # and the row that comes next
    desk.view(queue="random")
    assert len(groups) == 6


def test_rows_of_later_row_groups_and_shards_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SHARD_ROWS", 40)
    monkeypatch.setattr(shards, "GROUP_ROWS", 16)
    make_texts(tmp_path / "project")
    folder = tmp_path / "project/data/prepared"
    rows = prepared.read(folder, "unlabelled").to_pylist()
    inputs = Inputs(folder)
    assert len(shards.paths(folder / "unlabelled")) > 1
    for number, row in enumerate(rows):
        shown = inputs.read(number, row["id"])
        assert (shown.texts, shown.source) == ((("", row["text"]),), row["source"])


def test_another_backbone_begins_another_curve(desk: Desk) -> None:
    desk.label("tool")
    desk.learn()
    assert len(desk.view()["state"]["curve"]["points"]) == 2
    set_params(desk.project, backbone__name="char_wb")
    run_stages(desk.project, "extract")
    desk.learn()
    assert len(desk.view()["state"]["curve"]["points"]) == 1
    desk.label("bird")
    assert desk.view()["row"]["guesses"]


def test_without_validation_rows_there_is_no_curve(project: Path) -> None:
    set_params(project, prepare__validation=0)
    run_stages(project, "prepare", "extract")
    desk = Desk(project)
    desk.learn()
    curve = desk.view()["state"]["curve"]
    assert curve["points"] == [] and "prepare.validation is 0" in curve["say"]


def test_where_learning_fails_labels_are_stored_all_the_same(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("too small")

    with monkeypatch.context() as patch:
        patch.setattr(desk.session.learner, "fit", fail)
        desk.label("tool")
        desk.learn()
        assert "Guesses and suggestions stopped (too small)" in desk.view()["state"]["notes"][0]
        assert "MemoryError" in capsys.readouterr().err
        desk.label("tool", queue="random")
    desk.learn()
    assert len(desk.stored()) == 2 and not desk.view()["state"]["notes"] and desk.view()["row"]


def test_without_vectors_rows_come_in_random_order(project: Path) -> None:
    set_params(project, extract__unlabelled=False)
    run_stages(project, "extract")
    desk = Desk(project)
    desk.learn()
    answer = desk.view()
    assert "set extract.unlabelled to true" in answer["state"]["notes"][0]
    assert answer["row"]["split"] == "train" and answer["row"]["guesses"] == []
    shutil.rmtree(project / "data/features")
    assert Desk(project).view()["row"] == answer["row"]


def test_a_row_of_a_closed_tab_is_given_to_others(project: Path) -> None:
    now = [0.0]
    desk = Desk(project, queues=Queues(clock=lambda: now[0]))
    first, second = (desk.view(tab, "random")["row"]["id"] for tab in ("one", "two"))
    assert first != second
    desk.post("/leave", "one", "random")
    assert desk.view("three", "random")["row"]["id"] == first
    now[0] = MAX_SILENCE + 1
    assert desk.view("four", "random")["row"]["id"] == first
    desk.label("tool", "four", "random")
    answer = desk.post("/label", "three", "random", id=first, label="bird")
    assert "labelled in another tab" in answer["error"]
    assert [line["label"] for line in desk.stored()] == ["tool"]


def test_a_label_that_cannot_be_stored_is_said_and_its_row_stays(desk: Desk) -> None:
    row = desk.view()["row"]
    desk.labels.unlink()
    desk.labels.mkdir()
    answer = desk.post("/label", id=row["id"], label="tool")
    assert "is a folder" in answer["error"] and desk.view()["row"] == row
    desk.labels.rmdir()
    desk.label("tool")
    assert [line["id"] for line in desk.stored()] == [row["id"]]


def test_a_label_for_a_row_that_the_tab_does_not_show_is_refused(desk: Desk) -> None:
    other, row = desk.view("two")["row"]["id"], desk.view()["row"]["id"]
    for row_id in (other, "0" * 32, "../labels.csv"):
        assert "shows another row" in desk.post("/label", id=row_id, label="tool")["error"]
    assert desk.view()["row"]["id"] == row and not desk.stored()


def test_texts_of_two_columns_have_headings(project: Path) -> None:
    table = project / "data/rows.csv"
    lines = table.read_text("utf-8").splitlines()
    table.write_text("\n".join(["title,", *(f"title {n}," for n in range(1, len(lines)))]), "utf-8")
    table.write_text(
        "\n".join(f"{'title' if n == 0 else f'title {n}'},{line}" for n, line in enumerate(lines)), "utf-8"
    )
    set_params(project, prepare__input=["title", "text"])
    run_stages(project, "prepare", "extract")
    desk = Desk(project)
    (title, first), (text, second) = desk.view(queue="random")["row"]["texts"]
    assert (title, text) == ("title", "text") and first.startswith("title ") and second.split()[0].isalpha()
    desk.label("tool", queue="random")
    assert desk.stored()[0]["name"] == f"{first} | {second}"


def test_pictures_are_encoded_anew(tmp_path: Path, once: Once) -> None:
    desk = Desk(copy(once("labelling-pictures", make_pictures), tmp_path / "project"))
    desk.learn()
    row = desk.view()["row"]
    picture = desk.client.get(f"/picture/{row['id']}")
    assert row["texts"] == [] and row["source"].startswith("unlabelled/")
    assert picture.headers["content-type"] == "image/png" and picture.content.startswith(b"\x89PNG")
    desk.label("red")
    assert desk.stored()[0]["name"] == Path(row["source"]).name
    for name in ("0" * 32, "..%2Fparams.yaml", "../../params.yaml"):
        assert desk.client.get(f"/picture/{name}").status_code in (404, 409)
