"""The section `gate` of params.yaml: which metrics the gate judges, and how much worse they may be."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from stages.common.metric_directions import is_higher_better
from stages.common.section import Section
from stages.common.setting_types import Number


class GateMetric(Section):
    """How one metric is judged. The metric tells which direction is better; `higher_is_better` may only agree."""

    higher_is_better: bool = True
    tolerance: Annotated[Number, Field(ge=0)] = 0.0
    floor: Number | None = None


GateName = Literal[
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "weighted_f1",
    "matthews_correlation",
    "cohen_kappa",
    "log_loss",
    "micro_f1",
    "hamming_loss",
    "mean_average_precision",
    "roc_auc",
    "average_precision",
    "mean_absolute_error",
    "root_mean_squared_error",
    "r2",
    "spearman",
    "quadratic_weighted_kappa",
    "top_3_accuracy",
    "top_5_accuracy",
]


class GateParams(Section):
    """How much a change may lower the metrics."""

    metrics: dict[GateName, GateMetric] = Field({"accuracy": GateMetric(), "macro_f1": GateMetric()}, min_length=1)
    bootstrap: Annotated[int, Field(ge=100)] = 2000
    seed: int = 0

    def for_task(self, *names: GateName) -> Self:
        """Return settings that judge these metrics, where those of params.yaml are still the ones it came with."""
        if self.model_dump()["metrics"] != type(self)().model_dump()["metrics"]:
            return self
        metrics = {name: GateMetric(higher_is_better=is_higher_better(name)) for name in names}
        return self.model_copy(update={"metrics": metrics})

    @model_validator(mode="after")
    def _know_what_is_better(self) -> Self:
        for name, metric in self.metrics.items():
            is_higher = is_higher_better(name)
            if "higher_is_better" not in metric.model_fields_set:
                self.metrics[name] = metric.model_copy(update={"higher_is_better": is_higher})
            elif metric.higher_is_better != is_higher:
                raise ValueError(
                    f"metrics.{name}.higher_is_better is {str(metric.higher_is_better).lower()}, but a"
                    f" {'higher' if is_higher else 'lower'} {name} is better; leave higher_is_better out"
                )
        return self
