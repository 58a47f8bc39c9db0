"""Save and load head.skops: a scikit-learn head without pickle."""

from pathlib import Path
from typing import Any

from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import LabelBinarizer
from sklearn.svm import LinearSVC

from stages.common.errors import HeadstartError, damaged
from stages.heads import estimators, skops_bytes
from stages.heads.head import Head
from stages.heads.model_card import Decisions
from stages.heads.numbers import NumberHead
from stages.heads.one_vs_rest_head import OneVsRest

FILE = "head.skops"
# The classes that head.skops may hold; a file with any other is refused.
ESTIMATORS = (
    LogisticRegression,
    Ridge,
    RidgeClassifier,
    LinearSVC,
    KNeighborsClassifier,
    MLPClassifier,
    LabelBinarizer,
)


def save(head: Head | NumberHead | OneVsRest, path: Path) -> None:
    """Write the estimator with skops; the same estimator gives the same bytes."""
    path.write_bytes(skops_bytes.dumps(head.estimator, ESTIMATORS))


def load(
    path: Path, labels: tuple[str, ...], temperature: float, decisions: Decisions | None = None
) -> Head | OneVsRest:
    """Read a head that `save` wrote; the other arguments are those of its model.json.

    Raises:
        HeadstartError: the file is missing, damaged, or holds anything but the numbers of a head for these labels.
    """
    try:
        loaded = skops_bytes.loads(path.read_bytes(), ESTIMATORS)
        estimator = estimators.restored(loaded)
    except FileNotFoundError:
        raise HeadstartError(f"{path} does not exist; run `dvc repro train_head`") from None
    except Exception as error:  # a damaged archive raises errors of many types
        raise damaged(path, error) from None
    count = len(estimator.classes_) if not isinstance(estimator, list) else _label_count(estimator, decisions)
    if count != len(labels):
        raise HeadstartError(
            f"{path} is a head of {count} labels, but its model.json has {len(labels)}; run `dvc repro train_head`"
        )
    is_one_vs_rest = isinstance(estimator, list) or isinstance(estimator.classes_, list)
    if is_one_vs_rest != (decisions is not None):
        raise HeadstartError(f"{path} and its model.json are of different tasks; run `dvc repro train_head`")
    if decisions is not None:
        return OneVsRest(estimator, labels, decisions.temperatures, decisions.thresholds, decisions.exclusive)
    return Head(estimator, labels, temperature)


def _label_count(classifiers: list[Any], decisions: Decisions | None) -> int:
    """Count the labels of classifiers, the last of which are of sets; 0 if one has not as many classes as its set."""
    exclusive = decisions.exclusive if decisions else ()
    of_sets = classifiers[len(classifiers) - len(exclusive) :]
    if [len(one.classes_) for one in of_sets] != [len(labels) for labels in exclusive]:
        return 0
    return len(classifiers) - len(exclusive) + sum(map(len, exclusive))
