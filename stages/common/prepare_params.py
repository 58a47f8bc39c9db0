"""The section `prepare` of params.yaml."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from stages.common.section import Section
from stages.common.setting_types import ClassOrder, ColumnNames, Count, Encoding, Fraction, Name, Number, TaskName


class PrepareParams(Section):
    """Where the raw rows are, and how they are split."""

    data: Name
    input: ColumnNames
    label: ColumnNames
    task: Literal["auto", TaskName] = "auto"
    label_separator: Name | None = None
    order: ClassOrder | None = None
    labels: Name | None = None
    unknown: Name | None = None
    modality: Literal["auto", "text", "image"] = "auto"
    split: Name | None = None
    group: Name | None = None
    slice: Name | None = None
    validation: Fraction = 0.15
    test: Fraction = 0.2
    seed: int = 0
    min_rows: Count = 1
    max_rejected: Annotated[Number, Field(ge=0, le=1)] = 0.01
    max_side: Annotated[int, Field(ge=8)] | None = 512
    max_pixels: Count = 200_000_000
    encoding: Encoding = "utf-8"
    sheet: Name | None = None
    follow_links: bool = False

    @model_validator(mode="after")
    def _leaves_training_rows(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(
                f"validation {self.validation} + test {self.test} leave no training rows; their sum must be below 1"
            )
        return self

    @model_validator(mode="after")
    def _fits_the_task(self) -> Self:
        """Check that the settings of labels belong to one task."""
        is_several = not isinstance(self.label, str)
        if is_several and self.label_separator is not None:
            raise ValueError(
                "label names several columns, but label_separator divides the names in one; name one column, or set"
                " label_separator to null"
            )
        tasks: dict[str, TaskName | None] = {
            f"task is {self.task}": None if self.task == "auto" else self.task,
            "label names several columns": "multilabel" if is_several else None,
            f"label_separator is {self.label_separator!r}": "multilabel" if self.label_separator else None,
            "order is set": "ordinal" if self.order else None,
            f"unknown is {self.unknown!r}": "single" if self.unknown else None,
        }
        settings = [(setting, task) for setting, task in tasks.items() if task]
        for setting, task in settings[1:]:
            if task != settings[0][1]:
                raise ValueError(f"{settings[0][0]}, but {setting}, which is for the task {task}; correct one of them")
        return self
