"""The section `predict` of params.yaml: from where a prediction counts as sure."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from stages.common import yaml_text
from stages.common.errors import HeadstartError
from stages.common.section import Section, validate
from stages.common.setting_types import Number

FILE = "params.yaml"  # the default of --params


class PredictParams(Section):
    """How often accepted rows shall be right, and how often sets of labels hold the true one."""

    target_accuracy: Annotated[Number, Field(gt=0, lt=1)] = 0.95
    coverage: Annotated[Number, Field(gt=0, lt=1)] = 0.9


class _Predict(Section):
    predict: PredictParams = PredictParams()


def load(path: Path) -> PredictParams:
    """Read the section from params.yaml; the defaults where there is no params.yaml, or no such section.

    A model's folder is used without the pipeline too, so no other section has to be there, or right.

    Raises:
        HeadstartError: a file of another name does not exist, the file is not YAML, or the section holds a key or value
            that is not allowed.
    """
    if not path.is_file() and path != Path(FILE):
        raise HeadstartError(f"{path} does not exist; name a file with settings, or leave --params out")
    content = yaml_text.read(path) if path.is_file() else None
    section = content.get("predict") if isinstance(content, dict) else None
    return PredictParams() if section is None else validate(_Predict, {"predict": section}, file=str(path)).predict
