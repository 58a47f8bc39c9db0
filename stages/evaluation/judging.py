"""Judge the models on the test rows, or where there are none the head on folds of the labelled rows."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from stages.common.errors import HeadstartError
from stages.common.params import EvaluateParams, TrainHeadParams
from stages.common.predict_params import PredictParams
from stages.evaluation import cached_results, cross_validation, label_errors, learning_curve, near_duplicates, sure_rows
from stages.evaluation.learning_curve import Curve
from stages.evaluation.results import ScoredRows
from stages.heads import choosing, model_card
from stages.heads.certainty import Certainty, Verdicts
from stages.heads.loading import Outputs
from stages.heads.model_card import ModelCard
from stages.tables import prepared
from stages.tables.features import Features

if TYPE_CHECKING:
    import pandas as pd


class Judged(NamedTuple):
    """How the judged rows came off, and what was compared with them."""

    scored: ScoredRows
    train: Features
    curves: dict[str, Curve]
    pairs: "pd.DataFrame"
    suspects: "dict[str, pd.DataFrame]"
    rows_of_suspects: dict[str, Features]

    def without_vectors(self) -> "Judged":
        """Return the same without the vectors of rows, which are most of the memory."""
        return self._replace(
            scored=replace(self.scored, rows=self.scored.rows.without_vectors()),
            train=self.train.without_vectors(),
            rows_of_suspects={name: rows.without_vectors() for name, rows in self.rows_of_suspects.items()},
        )


class Models(NamedTuple):
    """The trained models.

    Attributes:
        cards: their model.json, by name.
        load: loads a model by name as a function that computes, for every input, its outputs and how unfamiliar it is:
            NaN where the model's folder cannot tell.
        certainty: what their folders keep to tell how sure they are, by name.
    """

    cards: Mapping[str, ModelCard]
    load: Callable[[str], Callable[[list[Any]], list[tuple[np.ndarray, float]]]]
    certainty: Mapping[str, Certainty]


def by_test_rows(
    prepared_folder: Path,
    models: Models,
    train: Features,
    test: Features,
    *,
    head: Outputs,
    all_settings: tuple[EvaluateParams, PredictParams],
    unknown: Features | None = None,
) -> Judged:
    """Score the test rows with all models.

    Args:
        head: computes its outputs for vectors.
        unknown: test rows of the class `prepare.unknown`.
    """
    settings, predict_settings = all_settings
    curves, train_suspects = _curves_and_suspects(prepared_folder, train, test, settings)

    def judged(split: str, rows: Features) -> tuple[dict[str, np.ndarray], dict[str, Verdicts]]:
        outputs, unfamiliar = _scores(prepared_folder, models, head, rows, split)
        sure = {
            name: models.certainty[name].verdicts(models.cards[name].as_task(), P, unfamiliar[name], predict_settings)
            for name, P in outputs.items()
        }
        return outputs, sure

    probabilities, verdicts = judged("test", test)
    others = judged(prepared.unknown("test"), unknown)[1] if unknown else {}
    if "baseline" in curves:
        probabilities["baseline"] = curves["baseline"].P
    scored = ScoredRows.from_features(test, models.cards["head"].as_task(), probabilities)
    scored = replace(scored, verdicts=verdicts, unknown=others)
    pairs = near_duplicates.find(train.X, test.X, settings.near_duplicates)
    suspects = {"train": train_suspects, "test": label_errors.find(scored.truth, probabilities["head"], scored.task)}
    return Judged(scored, train, curves, pairs, suspects, {"train": train, "test": test})


def by_folds(
    prepared_folder: Path,
    card: ModelCard,
    labelled: Features,
    all_settings: tuple[EvaluateParams, TrainHeadParams, PredictParams],
    *,
    unlabelled: Features | None = None,
) -> Judged:
    """Cross-validate head and baseline on the labelled rows; cached. `unlabelled`: rows that every head learns from.

    Raises:
        HeadstartError: the head was trained with other settings, or the rows are too few.
    """
    settings, head_settings, predict_settings = all_settings
    is_other_kind = (
        card.as_task().has_classes and card.chosen["kind"] != head_settings.kind
    )  # of numbers, all are ridge
    if is_other_kind or model_card.saw_validation(card) != (head_settings.final == "all"):
        raise HeadstartError("the head was trained with other settings than train_head has now; run `dvc repro`")
    division = cross_validation.divide(labelled, settings, head_settings.final)
    key = {"evaluate": settings.model_dump(exclude={"explain"}), "train_head": head_settings.model_dump()}
    if unlabelled:
        key["unlabelled"] = unlabelled.ids.tolist()
    arrays = cached_results.result(
        labelled,
        labelled.select(division.judged),
        key,
        lambda: cross_validation.measure(
            prepared_folder, labelled, division, card.labels, (settings, head_settings), unlabelled=unlabelled
        ),
    )
    repeated: dict[str, np.ndarray] = {name: arrays[name] for name in ("head", "baseline") if name in arrays}
    rows = replace(labelled.select(division.judged), unclear_share=labelled.unclear_share)
    scored = ScoredRows.from_features(rows, card.as_task(), {name: runs[0] for name, runs in repeated.items()})
    scored = replace(scored, division=division, repeated=repeated)
    scored = replace(scored, verdicts={"head": sure_rows.by_folds(labelled, division, scored, predict_settings)})
    suspects = label_errors.find(scored.truth, scored.probabilities["head"], scored.task)
    splits = scored.rows.split_names("train")[suspects["row"]]
    return Judged(
        scored,
        labelled,
        {name: Curve.from_arrays(name, arrays) for name in ("backbone", "baseline") if f"{name}.C" in arrays},
        cross_validation.near_duplicates(labelled, division, settings.near_duplicates),
        {split: suspects[splits == split] for split in ("train", "validation")},
        dict.fromkeys(("train", "validation"), scored.rows),
    )


def _curves_and_suspects(
    prepared_folder: Path, train: Features, test: Features, settings: EvaluateParams
) -> "tuple[dict[str, Curve], pd.DataFrame]":
    """Compute learning curves and likely label errors in training rows; cached, since no head changes them."""

    def compute() -> cached_results.Arrays:
        points = learning_curve.points(train, settings)
        with choosing.side_by_side() as pool:  # alone, neither keeps two cores busy
            without_transfer = pool.submit(learning_curve.of_baseline, prepared_folder, points, train, test)
            curve = learning_curve.of_backbone(points, train, test)
            suspects = label_errors.find_in_training(train, curve.C)
            baseline = without_transfer.result()
        arrays = {"suspects": suspects.to_numpy(), **curve.to_arrays("backbone")}
        return arrays | (baseline.to_arrays("baseline") if baseline else {})

    arrays = cached_results.result(train, test, settings.model_dump(exclude={"explain", "cross_validation"}), compute)
    names = [name for name in ("backbone", "baseline") if f"{name}.C" in arrays]
    curves = {name: Curve.from_arrays(name, arrays) for name in names}
    return curves, label_errors.from_array(arrays["suspects"])


def _scores(
    prepared_folder: Path, models: Models, head: Outputs, test: Features, split: str
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray | None]]:
    """Compute the trained models' outputs for test rows, (rows, …), and how unfamiliar these are to each.

    Rows are joined by id; `split`: the table that they are in.
    """
    card, known = models.cards["head"], models.certainty["head"].known
    probabilities = {"head": head(test.X)}
    unfamiliar = {"head": known.unfamiliar(test.X) if known else None}
    if "finetuned" in models.cards:
        rows = prepared.map_by_id(
            prepared_folder,
            split,
            card.modality,
            test.ids.tolist(),
            models.load("finetuned"),
            combine=card.extract.combine,
        )
        outputs, strange = zip(*rows, strict=True)
        probabilities["finetuned"] = np.stack(outputs)
        unfamiliar["finetuned"] = None if np.isnan(strange).any() else np.array(strange)
    return probabilities, unfamiliar
