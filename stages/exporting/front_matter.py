"""The head of README.md, which the Hugging Face hub reads: licence, task, base model and metrics with intervals."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.common.params import BackboneParams, Backbones
from stages.heads.model_card import ModelCard

LIBRARY = "onnx"
METRICS = {  # of details.json: the hub's name of the metric, and ours
    "accuracy": ("accuracy", "Accuracy"),
    "macro_f1": ("f1", "Macro F1"),
    "micro_f1": ("f1", "Micro F1"),
    "balanced_accuracy": ("balanced_accuracy", "Balanced accuracy"),
    "mean_absolute_error": ("mae", "Mean absolute error"),
    "r2": ("r_squared", "R²"),
    "spearman": ("spearmanr", "Spearman's rank correlation"),
}
DECIMALS = 4
LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]*")  # as the hub writes them, such as apache-2.0


def written(
    card: ModelCard, *, name: str, metrics: Mapping[str, Any], ends: Mapping[str, Any], licence: str | None
) -> str:
    """Write the head, from `---` to `---`, which huggingface_hub's ModelCard can read.

    Args:
        name: of the model, in the list of metrics.
        metrics: of test rows; empty where no evaluation is of this model.
        ends: their intervals, as in details.json.
        licence: of the backbone.
    """
    from huggingface_hub import EvalResult, ModelCardData

    has_classes = card.as_task().has_classes
    task = f"{card.modality}-{'classification' if has_classes else 'regression'}"
    known = {metric: names for metric, names in METRICS.items() if metric in metrics}
    results = [
        EvalResult(
            task_type=task,
            dataset_type="unknown",  # a data set that is not on the hub
            dataset_name="Unknown",
            dataset_split="test",
            metric_type=kind,
            metric_name=title + (" (95 % interval {low:.3f} to {high:.3f})".format(**ends[metric]) if ends else ""),
            metric_value=round(metrics[metric], DECIMALS),
        )
        for metric, (kind, title) in known.items()
    ]
    data = ModelCardData(
        base_model=_base_model(card.backbone),
        eval_results=results or None,
        library_name=LIBRARY,
        license=licence if licence and LICENCE.fullmatch(licence) else None,
        metrics=[*dict.fromkeys(kind for kind, _ in known.values())] or None,
        model_name=name,
        pipeline_tag=task if has_classes else None,  # the hub has no name for numbers from texts or pictures
        tags=["headstart", LIBRARY, task],
    )
    return f"---\n{data.to_yaml()}\n---\n"


def _base_model(backbone: Backbones) -> str | None:
    """Return the backbone's name on the hub; None where its weights are not from there."""
    if not isinstance(backbone, BackboneParams) or backbone.family != "transformers" or Path(backbone.name).is_dir():
        return None
    return backbone.name if backbone.weights == "pretrained" else None
