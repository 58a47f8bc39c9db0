"""Suggest: name the unlabelled rows that are worth labelling next, best first.

    python -m stages.suggest data/head NEXT.csv --rows 50

Reads the vectors and texts of the rows without a label that prepare and extract keep, and the head, if there is one
yet. NEXT ends in .csv, .jsonl, .parquet, or with the extra `spreadsheets` in .xlsx. Its columns: id, source, text,
predicted, confidence, margin (between the two likeliest labels; of several labels per row, how sure all are), reason,
and an empty label to fill in.

With a head, rows are chosen that stand for many others of which the head is unsure; without one, the most typical ones.
No two of them are nearly copies. All are rows that prepare will train on, so that validation and test stay a fair
sample; for those, `python -m stages.label` asks for labels of random rows. Labels belong into your table; then `dvc
repro`, and the next suggestions know them.
"""

from pathlib import Path

import numpy as np

from stages.common import atomic, cli, params, run_stats, targets
from stages.common.errors import HeadstartError, counted
from stages.common.prepare_params import PrepareParams
from stages.evaluation import prediction_files
from stages.heads import loading, model_card
from stages.suggestion import choosing, table
from stages.suggestion.future_splits import FutureSplits
from stages.tables import features, prepared
from stages.tables.features import Features
from stages.tables.label_info import check_task
from stages.tasks import ClassTask


def suggest(
    *,
    head_folder: Path,
    target: Path,
    rows: int,
    prepared_folder: Path,
    features_folder: Path,
    settings: PrepareParams,
) -> None:
    """Write the `rows` unlabelled rows that are worth labelling next to the file `target`.

    They are of those that prepare will train on, so that what is validated and tested stays a fair sample.

    Raises:
        HeadstartError: there are no unlabelled rows with vectors, an input is missing or damaged, the head was trained
            on features of another backbone, or `target` holds labels, or anything but earlier suggestions.
    """
    if rows < 1:
        raise HeadstartError(f"--rows is {rows}, but must be at least 1")
    prediction_files.check_format(target)
    targets.check_file(target, table.is_own, verb="suggest", inputs=[head_folder, prepared_folder, features_folder])
    if target.exists():
        table.check_replaceable(target)
    unlabelled, count = _unlabelled(features_folder, prepared_folder, settings)
    train, *judged = (features.read(features_folder, split) for split in prepared.SPLITS)
    scored = _scores(head_folder, features_folder, unlabelled, train)
    margins = scored and scored[0].margins(scored[1])
    batch = choosing.choose(unlabelled.X, train.X, margins, rows, judged=[part.X for part in judged])
    if not len(batch.rows):
        raise HeadstartError(
            f"nothing is left to label: all rows in {features_folder / prepared.UNLABELLED} are nearly copies of"
            " labelled ones; add other rows"
        )
    chosen = table.read_inputs(prepared_folder, unlabelled.metadata.modality, unlabelled.ids[batch.rows].tolist())
    suggestions = table.make(chosen, batch.stands_for, scored and (scored[0], scored[1][batch.rows]))
    with (
        atomic.file(target) as out,
        prediction_files.writer(out, target.suffix, suggestions.schema) as write,
    ):
        write(suggestions)
    print(
        f"suggest: {len(chosen):,} of {counted(count, 'unlabelled row')}"
        f" {'of which the head is unsure' if scored else 'that are typical, as there is no head yet'}"
        f" -> {target} in {run_stats.spent()}"
    )
    if len(chosen) < min(rows, len(unlabelled.ids)):
        print(
            f"suggest: all others are nearly copies of these or of labelled rows (cosine {choosing.MAX_COSINE} or more)"
        )


def _unlabelled(features_folder: Path, prepared_folder: Path, settings: PrepareParams) -> tuple[Features, int]:
    """Read the unlabelled rows that may be suggested, those that would train, and count all with vectors.

    Raises:
        HeadstartError: there are none.
    """
    rows = features.read(features_folder, prepared.UNLABELLED)
    instead = "label rows that you draw at random, since suggestions were no better for it"
    check_task(rows.metadata, "suggesting rows", "single", "multilabel", instead=instead)
    count = len(rows.ids)
    if not count:
        raise HeadstartError(
            f"{features_folder / prepared.UNLABELLED} holds no rows; leave the label of rows in your table empty, set"
            " extract.unlabelled to true, and run `dvc repro`"
        )
    split_of = FutureSplits(prepared_folder, settings).unlabelled()
    rows = rows.select(np.array([split_of.get(row_id) == "train" for row_id in rows.ids.tolist()]))
    if not len(rows.ids):
        raise HeadstartError(
            f"all rows in {features_folder / prepared.UNLABELLED} would be validated or tested on, for which"
            " `python -m stages.label` asks for labels of random ones; add other rows"
        )
    return rows, count


def _scores(
    head_folder: Path, features_folder: Path, rows: Features, train: Features
) -> tuple[ClassTask, np.ndarray] | None:
    """Give the head's task and its outputs, (rows, …); None where the training rows do not differ in labels yet.

    Raises:
        HeadstartError: the head is missing or damaged, or was trained on features of another backbone or task.
    """
    if len(np.unique(train.labels.astype(str))) < 2:
        return None
    card = model_card.read_head(head_folder)
    if card.method != "head":
        raise HeadstartError(f"{head_folder} holds a fine-tuned model, but suggest needs the folder of the head")
    model_card.check_features(card, rows.metadata, head_folder=head_folder, features_folder=features_folder)
    task = card.as_task()
    assert task.has_classes
    return task, loading.load(head_folder, card, rows.metadata.dim)(rows.X)


def main() -> None:
    default = "(default: %(default)s)"
    args = cli.arguments(
        __doc__,
        head="folder that train_head wrote; it need not exist before there are labels",
        out="file to write: .csv, .jsonl, .parquet or .xlsx",
        options={
            "--rows": {"type": int, "default": 50, "help": f"how many to suggest {default}"},
            "--prepared": {"type": Path, "default": Path("data/prepared"), "help": default},
            "--features": {"type": Path, "default": Path("data/features"), "help": default},
        },
    )
    suggest(
        head_folder=args.head,
        target=args.out,
        rows=args.rows,
        prepared_folder=args.prepared,
        features_folder=args.features,
        settings=params.load(args.params).prepare,
    )


if __name__ == "__main__":
    cli.run(main)
