"""Save and load head.skops: a scikit-learn head without pickle."""

import zipfile
from pathlib import Path

from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import LabelBinarizer
from sklearn.svm import LinearSVC

from stages.common.errors import HeadstartError, damaged, listed
from stages.heads import skops_bytes
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
TRUSTED = "scipy.sparse._csr.csr_matrix"  # in which knn keeps sparse training rows; numbers, read without pickle


def save(head: Head, path: Path) -> None:
    """Write the estimator with skops; the same estimator gives the same bytes."""
    path.write_bytes(skops_bytes.dumps(head.estimator, ESTIMATORS))


def load(path: Path, labels: tuple[str, ...], temperature: float) -> Head:
    """Read a head that `save` wrote; labels and temperature are those of its model.json.

    Raises:
        HeadstartError: the file is missing, damaged, or holds anything but a head for these labels.
    """
    skops = skops_bytes.skops_io(ESTIMATORS)
    try:
        content = path.read_bytes()
        untrusted = sorted(set(skops.get_untrusted_types(data=content)) - {TRUSTED})
        if untrusted:
            raise HeadstartError(
                f"{path} holds {listed(untrusted)}, which no head needs; it is refused, run `dvc repro`"
            )
        estimator = skops.loads(content, trusted=[TRUSTED])
    except FileNotFoundError:
        raise HeadstartError(f"{path} does not exist; run `dvc repro train_head`") from None
    except (ValueError, KeyError, TypeError, AttributeError, ImportError, zipfile.BadZipFile, MemoryError) as error:
        raise damaged(path, error) from None
    if not isinstance(estimator, ESTIMATORS):
        raise HeadstartError(f"{path} holds a {type(estimator).__name__}, not a head; run `dvc repro train_head`")
    if len(estimator.classes_) != len(labels):
        raise HeadstartError(
            f"{path} is a head of {len(estimator.classes_)} labels, but its model.json has {len(labels)};"
            " run `dvc repro train_head`"
        )
    return Head(estimator, labels, temperature)
