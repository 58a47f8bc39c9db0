"""What a way of training ends with."""

from typing import Any, NamedTuple

from stages.finetuning.classifier import Classifier
from stages.finetuning.progress import Progress


class Outcome(NamedTuple):
    """A network, and how it was trained.

    Attributes:
        classifier: the network to ship.
        judged: the network that the validation rows judge: the same one, unless it was trained on them.
        progress: of the training of `judged`.
        record: what else was done, for model.json.
        remark: the same for people; empty if there is nothing to say.
    """

    classifier: Classifier
    judged: Classifier
    progress: Progress
    record: dict[str, Any]
    remark: str = ""
