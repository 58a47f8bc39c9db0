"""Evaluate: how good head and fine-tuned model are on the test rows, how sure that is, and was transfer worth it.

Without test rows, which is `prepare.test: 0`, all labelled rows judge the head by cross-validation.

    python -m stages.evaluate data/prepared data/features data/head data/finetuned data/evaluation

Reads `budget`, `evaluate`, `predict`, `train_head` and `runtime` from params.yaml. Writes metrics.json (the few numbers
that `dvc metrics show` prints), details.json (all numbers, with intervals), predictions.parquet (every probability of
every row), near_duplicates.parquet, label_errors.parquet, explanations.parquet (which words or regions decided
mistakes), plots/ (data for `dvc plots show`) and report.html, a single file that works offline.
"""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stages.common import atomic, cli, params, run_stats, targets
from stages.common.errors import HeadstartError, counted, printable
from stages.common.params import BudgetParams, EvaluateParams, RuntimeParams, TrainHeadParams
from stages.common.predict_params import PredictParams
from stages.evaluation import (
    explained_mistakes,
    judging,
    label_errors,
    metrics_json,
    near_duplicates,
    plots,
    prediction_columns,
    report,
    slices,
    verdict,
)
from stages.evaluation.judging import Models
from stages.evaluation.plots import Points
from stages.evaluation.report.content import Layout
from stages.evaluation.results import Results, ScoredRows
from stages.evaluation.rounded_json import write_json
from stages.extraction import rows
from stages.finetuning import trained_model
from stages.finetuning.trained_model import TrainedModel
from stages.heads import certainty_file, loading, model_card, training
from stages.heads.model_card import ModelCard
from stages.tables import features, label_texts
from stages.tables.features import Features

if TYPE_CHECKING:
    import pandas as pd


CONTENT = targets.Content(
    "evaluate",
    {
        "metrics.json": metrics_json.is_own,
        "details.json": None,
        "predictions.parquet": prediction_columns.has_all,
        "near_duplicates.parquet": None,
        "label_errors.parquet": None,
        "explanations.parquet": None,
        report.FILE: None,
        **{f"plots/{name}/*.json": None for name in (*plots.MODELS, "learning_curve")},
    },
)


def evaluate(
    *,
    prepared_folder: Path,
    features_folder: Path,
    head_folder: Path,
    finetuned_folder: Path,
    target: Path,
    budget: BudgetParams,
    settings: EvaluateParams,
    head_settings: TrainHeadParams,
    predict_settings: PredictParams,
    runtime: RuntimeParams,
) -> None:
    """Score the test rows with the head, the fine-tuned model if there is one, and the baseline.

    Where there are no test rows, cross-validate head and baseline on the labelled rows.

    Raises:
        HeadstartError: an input is missing or damaged, the head was trained on features of another backbone, the rows
            are too few to be judged, or `target` holds anything but an earlier evaluation.
    """
    targets.check_folder(target, CONTENT, [prepared_folder, features_folder, head_folder, finetuned_folder])
    cards = _read_cards(features_folder, head_folder, finetuned_folder)
    folders = {"head": head_folder, "finetuned": finetuned_folder}
    load = functools.cache(lambda name: trained_model.load(folders[name], cards[name], runtime, rows.stored_vectors))
    judged, layout = _judge(
        prepared_folder=prepared_folder,
        features_folder=features_folder,
        head_folder=head_folder,
        models=_models(folders, cards, load),
        budget=budget,
        settings=settings,
        head_settings=head_settings,
        predict_settings=predict_settings,
    )
    scored, curves = judged.scored, judged.curves
    without_say = set() if scored.division else {"cross_validation"}
    results = Results(
        cards=cards,
        train=judged.train,
        layout=layout,
        scored=scored,
        metrics=metrics_json.details(
            scored=scored, cards=cards, curves=curves, pairs=judged.pairs, suspects=judged.suspects, settings=settings
        ),
        plots=_plots(prepared_folder, scored, settings),
        curves={name: plots.from_curve(curve, scored.task.primary) for name, curve in curves.items()},
        pairs=near_duplicates.table(judged.pairs, judged.train, scored.rows),
        suspects=label_errors.table(judged.suspects, judged.rows_of_suspects, scored.task),
        explained=explained_mistakes.table(
            prepared_folder,
            scored,
            folders[scored.shipped],
            limit=settings.explain,
            card=cards["head"],
            load=lambda: load(scored.shipped).scores,
        ),
        settings={
            "budget": budget.model_dump(),
            "evaluate": settings.model_dump(exclude=without_say),
            "predict": predict_settings.model_dump(),
        },
    )
    with atomic.directory(target, CONTENT) as out:
        _write(out, prepared_folder, results)
    for line in verdict.lines(results):
        print(f"evaluate: {printable(line)}")
    print(f"evaluate: {counted(len(scored.truth), scored.noun)} -> {target / report.FILE} in {run_stats.spent()}")


def _judge(
    *,
    prepared_folder: Path,
    features_folder: Path,
    head_folder: Path,
    models: Models,
    budget: BudgetParams,
    settings: EvaluateParams,
    head_settings: TrainHeadParams,
    predict_settings: PredictParams,
) -> tuple[judging.Judged, Layout]:
    """Judge the models, and do all else that needs vectors, which are in memory here alone."""
    card = models.cards["head"]
    train, test = _read_features(features_folder, head_folder, card, budget)
    head = loading.load(head_folder, card, train.X.shape[1])  # also without test rows: it may be damaged
    if len(test.ids):
        judged = judging.by_test_rows(
            prepared_folder,
            models,
            train,
            test,
            head=head,
            all_settings=(settings, predict_settings),
            unknown=features.read_unknown(features_folder, "test"),
        )
    else:
        labelled = _labelled(features_folder, train, budget)
        learning = training.unlabelled_rows(features_folder, head_settings)
        every_setting = settings, head_settings, predict_settings
        judged = judging.by_folds(prepared_folder, card, labelled, every_setting, unlabelled=learning)
    return judged.without_vectors(), report.layout(judged.train, judged.scored)


def _models(folders: Mapping[str, Path], cards: Mapping[str, ModelCard], load: Callable[[str], TrainedModel]) -> Models:
    """Put the models together; `load` loads one by name."""
    sure = {name: certainty_file.read(folders[name]) for name in cards}

    def scorer(name: str) -> Callable[[list[Any]], list[tuple[np.ndarray, float]]]:
        model, known = load(name), sure[name].known

        def scores(inputs: list[Any]) -> list[tuple[np.ndarray, float]]:
            X = model.vectors(inputs)
            unfamiliar = known.unfamiliar(X) if known else np.full(len(inputs), np.nan)
            return list(zip(model.task.outputs(model.head(X)), unfamiliar.tolist(), strict=True))

        return scores

    return Models(cards, scorer, sure)


def _read_cards(features_folder: Path, head_folder: Path, finetuned_folder: Path) -> dict[str, ModelCard]:
    """Read and check the model cards of `head` and, where fine-tuning was asked for, of `finetuned`."""
    head_card, finetuned_card = model_card.read_head(head_folder), model_card.read(finetuned_folder)
    metadata = features.read_metadata(features_folder / "test")
    model_card.check_features(head_card, metadata, head_folder=head_folder, features_folder=features_folder)
    if finetuned_card and finetuned_card.labels != head_card.labels:
        raise HeadstartError(f"{finetuned_folder} and {head_folder} have different labels; run `dvc repro finetune`")
    return {"head": head_card} | ({"finetuned": finetuned_card} if finetuned_card else {})


def _read_features(
    features_folder: Path, head_folder: Path, head_card: ModelCard, budget: BudgetParams
) -> tuple[Features, Features]:
    """Read the training rows within the budget and the test rows, and check that the head knows their classes."""
    test = features.read(features_folder, "test", as_stored=True)
    known, task = {*head_card.labels}, head_card.task
    if unknown := sorted(label_texts.counts(test.labels, task).keys() - known):
        raise HeadstartError(
            f"{features_folder / 'test'} has rows of class {unknown[0]}, which {head_folder} does not know;"
            f" run `dvc repro`"
        )
    # Folds are fitted on these rows as they are; with test rows, a few at a time are.
    train = features.read(features_folder, "train", budget, as_stored=len(test.ids) > 0)
    if label_texts.counts(train.labels, task).keys() != known:
        raise HeadstartError(
            f"{head_folder} was trained on other classes than {features_folder / 'train'} has; run `dvc repro`"
        )
    return train, test


def _labelled(features_folder: Path, train: Features, budget: BudgetParams) -> Features:
    """Read the validation rows within the budget, of known classes, and put them after the training rows."""
    validation = features.read(features_folder, "validation", budget)
    task = train.metadata.task
    known = label_texts.counts(train.labels, task).keys()
    usable = [row for row, text in enumerate(validation.labels) if known >= {*label_texts.classes(text, task)}]
    return features.joined({"train": train, "validation": validation.select(np.array(usable, dtype=int))})


def _plots(prepared_folder: Path, scored: ScoredRows, settings: EvaluateParams) -> dict[str, dict[str, Points]]:
    """Compute the plots of every model."""
    names = slices.names(prepared_folder, scored.rows.ids, [*scored.rows.by_split("test")])
    spread = scored.spread
    return {
        model: plots.from_model(scored.truth, P, scored.task, spread)
        | {
            "slices": slices.metrics_by_slice(names, scored, model, settings)
            + slices.metrics_of_long_texts(scored, model, settings)
        }
        for model, P in scored.probabilities.items()
    }


def _write(out: Path, prepared_folder: Path, results: Results) -> None:
    """Write all files of the evaluation into the folder `out`."""
    plots.write(out / "plots", results.plots, results.curves, metric=results.primary)
    card = results.cards.get("finetuned")
    write_json(out / "plots" / "finetuned" / "training.json", card.training["epochs"] if card else [])
    tables = {
        "predictions": results.scored.table(),
        "near_duplicates": _without_metadata(results.pairs),
        "label_errors": _without_metadata(results.suspects),
        "explanations": _without_metadata(results.explained),
    }
    for name, table in tables.items():
        pq.write_table(table, out / f"{name}.parquet", compression="zstd")
    write_json(out / "metrics.json", metrics_json.headline(results.metrics, results.shipped, results.scored.task))
    write_json(out / "details.json", results.metrics)
    report.write(out / report.FILE, prepared_folder, results)


def _without_metadata(frame: "pd.DataFrame") -> pa.Table:
    """Turn a table of text and number columns into string and float32 columns, without pandas' own metadata."""
    types = {name: pa.float32() if frame[name].dtype.kind == "f" else pa.string() for name in frame.columns}
    return pa.Table.from_pandas(frame, pa.schema(types.items()), preserve_index=False).replace_schema_metadata(None)


def main() -> None:
    args = cli.arguments(
        __doc__,
        prepared="folder that prepare wrote",
        features="folder that extract wrote",
        head="folder that train_head wrote",
        finetuned="folder that finetune wrote",
        evaluation="folder to write",
    )
    settings = params.load(args.params)
    evaluate(
        prepared_folder=args.prepared,
        features_folder=args.features,
        head_folder=args.head,
        finetuned_folder=args.finetuned,
        target=args.evaluation,
        budget=settings.budget,
        settings=settings.evaluate,
        head_settings=settings.train_head,
        predict_settings=settings.predict,
        runtime=settings.runtime,
    )


if __name__ == "__main__":
    cli.run(main)
