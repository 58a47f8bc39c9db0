"""predict on tables in other formats than the one that the model was trained on."""

from pathlib import Path

import pyarrow.parquet as pq

from stages.heads import model_card
from tests.hostile.verbs import here, refused
from tests.projects import TFIDF, UP_TO_HEAD, run_stages, set_params, stage

LINES = [f"subject;body;label\n{'order' if n % 2 else 'thanks'} {n};caf\u00e9 {n};{'ab'[n % 2]}\n" for n in range(60)]


def test_predict_asks_for_the_same_columns_in_the_same_encoding(project: Path) -> None:
    lines = [LINES[0], *(line.partition("\n")[2] for line in LINES[1:])]
    (project / "data/mails.csv").write_bytes("".join(lines).encode("cp1252"))
    changes = {"prepare__data": "data/mails.csv", "prepare__input": ["subject", "body"], "prepare__label": "label"}
    set_params(project, **changes, **TFIDF)
    refused(here(project, "prepare"), "it looks like cp1252, in which the line is")
    set_params(project, prepare__encoding="cp1252")
    run_stages(project, *UP_TO_HEAD)
    card = model_card.read_head(project / "data/head")
    assert (card.input, card.encoding) == (("subject", "body"), "cp1252")
    (project / "new.csv").write_bytes("body,subject\ncaf\u00e9,order\n,thanks\n,\n".encode("cp1252"))
    stage(project, "predict", "data/head", "new.csv", "out.parquet")
    out = pq.read_table(project / "out.parquet")
    assert out.column_names == ["source", "text", "predicted", "confidence", "p_a", "p_b", "rejected"]
    assert [(row["text"], row["predicted"], row["rejected"]) for row in out.to_pylist()] == [
        ("subject: order\nbody: caf\u00e9", "b", None),
        ("subject: thanks", "a", None),
        (None, None, "subject and body are empty"),
    ]
    (project / "new.jsonl").write_text('{"subjects": "x", "body": "y"}', "utf-8")
    done = here(project, "predict", "data/head", "new.jsonl", "out.parquet")
    refused(done, "new.jsonl has no column subject; it has subjects, body; did you mean subjects?")
