"""What the labels of a table are, as every stage hands it on."""

from typing import Annotated, Any

from pydantic import BeforeValidator, SerializerFunctionWrapHandler, model_serializer

from stages.common.errors import HeadstartError
from stages.common.section import Section
from stages.common.setting_types import TaskName, as_tuple


class LabelInfo(Section):
    """The task, and the order of ordinal classes. Both are written only where rows have not simply one class."""

    task: TaskName = "single"
    # Of ordinal labels: the classes from low to high; those of `prepare.order` may have no rows.
    order: Annotated[tuple[str, ...] | None, BeforeValidator(as_tuple)] = None

    @model_serializer(mode="wrap")
    def _without_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = dump(self)
        defaults = {name: field.default for name, field in LabelInfo.model_fields.items()}
        return {name: value for name, value in content.items() if name not in defaults or value != defaults[name]}


def check_task(info: LabelInfo, doing: str, *tasks: TaskName, instead: str) -> None:
    """Raise a HeadstartError unless the labels are for one of these tasks.

    Args:
        doing: what works for these tasks alone, such as `fine-tuning`.
        instead: what to do, as a clause.
    """
    if info.task not in tasks:
        raise HeadstartError(
            f"{doing} works for the task {' and '.join(tasks)} only, but prepare.task of these rows is {info.task};"
            f" {instead}"
        )


def check_single(info: LabelInfo, doing: str, *, instead: str) -> None:
    """Raise a HeadstartError unless rows have one class each, without an order; see `check_task`."""
    check_task(info, doing, "single", instead=instead)
