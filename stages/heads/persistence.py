"""Save and load head.skops: a scikit-learn head without pickle."""

from pathlib import Path

from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import LabelBinarizer
from sklearn.svm import LinearSVC

from stages.common.errors import HeadstartError, damaged
from stages.heads import estimators, skops_bytes
from stages.heads.head import Head

FILE = "head.skops"
# The classes that head.skops may hold; a file with any other is refused.
ESTIMATORS = (
    LogisticRegression,
    RidgeClassifier,
    LinearSVC,
    KNeighborsClassifier,
    MLPClassifier,
    LabelBinarizer,
)


def save(head: Head, path: Path) -> None:
    """Write the estimator with skops; the same estimator gives the same bytes."""
    path.write_bytes(skops_bytes.dumps(head.estimator, ESTIMATORS))


def load(path: Path, labels: tuple[str, ...], temperature: float) -> Head:
    """Read a head that `save` wrote; labels and temperature are those of its model.json.

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
    if len(estimator.classes_) != len(labels):
        raise HeadstartError(
            f"{path} is a head of {len(estimator.classes_)} labels, but its model.json has {len(labels)};"
            " run `dvc repro train_head`"
        )
    return Head(estimator, labels, temperature)
