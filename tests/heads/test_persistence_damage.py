"""head.skops that was damaged, or made to harm: a result or one sentence, and never a crash of the process."""

import copy
import io
import json
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from stages.common.errors import HeadstartError
from stages.heads import choosing, persistence
from stages.heads.head import Head
from tests.heads.tables import data, settings

KINDS = ("logistic", "linear_svm", "ridge", "knn", "sparse knn", "mlp")
LABELS = ("a", "b", "c")
# The slow ones are others, not the quick ones again.
EXAMPLES = pytest.mark.parametrize("examples", [60, pytest.param(300, marks=pytest.mark.slow)])


def rows(kind: str) -> Any:
    X, _ = data(3)
    return sparse.csr_matrix(X) if kind.startswith("sparse") else X


@pytest.fixture(scope="module", params=KINDS)
def archive(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes]:
    """A kind of head, and its head.skops."""
    kind = request.param
    path = tmp_path_factory.mktemp("head") / "head.skops"
    persistence.save(fitted(kind), path)
    return kind, path.read_bytes()


@cache
def fitted(kind: str) -> Head:
    """A head. Not to be changed."""
    return choosing.fit(rows(kind), data(3)[1], settings(kind.removeprefix("sparse ")))[0]


def attempt(content: bytes, kind: str, path: Path) -> str:
    """Load the archive and use it; return the sentence of its refusal, or nothing if it gave probabilities."""
    path.write_bytes(content)
    try:
        with np.errstate(all="ignore"):
            head = persistence.load(path, LABELS, 1.0)
            if head.estimator.n_features_in_ == rows(kind).shape[1]:
                assert head.probabilities(rows(kind)).shape == (120, 3)
    except HeadstartError as error:
        assert "\n" not in str(error)
        return str(error)
    return ""


def members(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as source:
        return {name: source.read(name) for name in source.namelist()}


def packed(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in files.items():
            target.writestr(name, content)
    return out.getvalue()


@EXAMPLES
def test_two_flipped_bytes_are_one_sentence(archive: tuple[str, bytes], tmp_path: Path, examples: int) -> None:
    kind, content = archive
    generator = np.random.default_rng((0, examples))
    refusals = 0
    for _ in range(examples):
        harmed = bytearray(content)
        for place in generator.integers(0, len(content), 2):
            harmed[place] ^= int(generator.integers(1, 256))
        refusals += bool(attempt(bytes(harmed), kind, tmp_path / "head.skops"))
    assert refusals > examples / 2


@EXAMPLES
def test_flipped_bytes_that_the_archive_does_not_notice(
    archive: tuple[str, bytes], tmp_path: Path, examples: int
) -> None:
    """The checksums fit: somebody changed the files and packed them again."""
    kind, content = archive
    generator = np.random.default_rng((1, examples))
    files = members(content)
    for number in range(examples):
        name = sorted(files)[number % len(files)]
        harmed = bytearray(files[name])
        for place in generator.integers(0, len(harmed), 2):
            harmed[place] ^= int(generator.integers(1, 256))
        attempt(packed({**files, name: bytes(harmed)}), kind, tmp_path / "head.skops")


def nested(files: dict[str, bytes]) -> bytes:
    deep = '{"a":' * 20_000 + "1" + "}" * 20_000
    return packed({**files, "schema.json": files["schema.json"].replace(b"{", b'{"deep": ' + deep.encode() + b",", 1)})


def compressed_unknown(files: dict[str, bytes]) -> bytes:
    content = bytearray(packed(files))
    content[content.index(b"PK\1\2") + 10] = 99
    return bytes(content)


def encrypted(files: dict[str, bytes]) -> bytes:
    content = bytearray(packed(files))
    content[content.index(b"PK\1\2") + 8] |= 1
    content[6] |= 1
    return bytes(content)


@pytest.mark.parametrize("harm", [nested, compressed_unknown, encrypted])
def test_archives_that_zipfile_or_json_cannot_read(
    archive: tuple[str, bytes], tmp_path: Path, harm: Callable[[dict[str, bytes]], bytes]
) -> None:
    kind, content = archive
    assert "head.skops cannot be read (" in attempt(harm(members(content)), kind, tmp_path / "head.skops")


def changed(head: Head, **attributes: Any) -> Head:
    vars(head.estimator).update(attributes)
    return head


def csr(**parts: Any) -> Callable[[Head], Head]:
    """A change of the arrays of the sparse training rows."""

    def harm(head: Head) -> Head:
        X = head.estimator._fit_X
        for name, change in parts.items():
            setattr(X, name, change(getattr(X, name)))
        return head

    return harm


def set_first(value: Any) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array = array.copy()
        array.flat[0] = value
        return array

    return change


def attribute(name: str, change: Callable[[Any], Any]) -> Callable[[Head], Head]:
    return lambda head: changed(head, **{name: change(getattr(head.estimator, name))})


CRAFTED: dict[str, tuple[str, Callable[[Head], Head], str]] = {
    "an index of a sparse row out of range": ("sparse knn", csr(indices=set_first(2**31 - 1)), "indices"),
    "a negative index of a sparse row": ("sparse knn", csr(indices=set_first(-5)), "indices"),
    "offsets beyond the values": ("sparse knn", csr(indptr=set_first(10**9)), "ind"),
    "sparse values that are not finite": (
        "sparse knn",
        csr(data=set_first(np.nan)),
        "_fit_X holds values that are not",
    ),
    "sparse values that are whole numbers": ("sparse knn", csr(data=lambda values: values.astype(np.int64)), "_fit_X"),
    "labels out of range": ("knn", attribute("_y", set_first(10**9)), "_y does not number the labels"),
    "a negative label": ("knn", attribute("_y", set_first(-1)), "_y does not number the labels"),
    "labels of fewer rows": ("knn", attribute("_y", lambda y: y[:-1]), "_y is not an array of one whole number"),
    "labels that are fractions": ("knn", attribute("_y", lambda y: y + 0.5), "_y is not an array of one whole number"),
    "more neighbours than rows": ("knn", lambda head: changed(head, n_neighbors=10**9), "n_neighbors is 1000000000"),
    "no neighbours": ("sparse knn", lambda head: changed(head, n_neighbors=0), "n_neighbors is 0"),
    "neighbours that are text": ("knn", lambda head: changed(head, n_neighbors="5"), "n_neighbors is '5'"),
    "rows that are complex": ("knn", attribute("_fit_X", lambda X: X.astype(np.complex64)), "_fit_X is complex64"),
    "rows that are text": ("knn", attribute("_fit_X", lambda X: X.astype(str)), "_fit_X is <U32"),
    "rows of one dimension": ("knn", attribute("_fit_X", np.ravel), "_fit_X is float32 of"),
    "rows that are a list": ("knn", attribute("_fit_X", np.ndarray.tolist), "_fit_X is a list"),
    "rows that are infinite": (
        "knn",
        attribute("_fit_X", set_first(np.inf)),
        "_fit_X holds values that are not finite",
    ),
    "layers that do not fit": ("mlp", attribute("coefs_", lambda weights: weights[::-1]), "does not fit the others"),
    "no layers": ("mlp", lambda head: changed(head, coefs_=[], intercepts_=[]), "are not lists of as many layers"),
    "a layer that is not finite": ("mlp", attribute("intercepts_", lambda b: [b[0] * np.nan, b[1]]), "not finite"),
    "coefficients of other labels": ("logistic", attribute("coef_", lambda W: W[:2]), "which is no layer"),
    "coefficients that are whole numbers": (
        "linear_svm",
        attribute("coef_", lambda W: W.astype(int)),
        "coef_ is int64",
    ),
    "an intercept that is not finite": (
        "ridge",
        attribute("intercept_", set_first(-np.inf)),
        "intercept_ holds values",
    ),
}


@pytest.mark.parametrize("case", CRAFTED)
def test_numbers_that_no_head_has_are_refused_before_they_are_used(tmp_path: Path, case: str) -> None:
    kind, harm, words = CRAFTED[case]
    path = tmp_path / "head.skops"
    persistence.save(harm(copy.deepcopy(fitted(kind))), path)
    sentence = attempt(path.read_bytes(), kind, path)
    assert "head.skops cannot be read (" in sentence and words in sentence, sentence


def test_settings_in_the_archive_are_not_used(tmp_path: Path) -> None:
    """Settings that would start processes, replace a method or choose another distance."""
    X, labels = data(3)
    head, _ = choosing.fit(X, labels, settings("knn"))
    expected = head.probabilities(X)
    harmful = {"n_jobs": 10**6, "metric": "precomputed", "effective_metric_": "harm", "weights": "distance", "p": -1}
    persistence.save(changed(head, **harmful, predict_proba="harm"), tmp_path / "head.skops")
    loaded = persistence.load(tmp_path / "head.skops", LABELS, head.temperature)
    np.testing.assert_array_equal(loaded.probabilities(X), expected)


@pytest.mark.parametrize(
    ("node", "module", "name"),
    [
        ("TreeNode", "sklearn.tree._tree", "Tree"),  # trusted by skops; follows indices in the archive
        ("OperatorFuncNode", "operator", "methodcaller"),  # CVE-2025-54412
        ("MethodNode", "builtins", "method"),  # CVE-2025-54413
        ("RandomGeneratorNode", "numpy.random._generator", "Generator"),  # skops#536
        ("FunctionNode", "numpy", "load"),
        ("ObjectNode", "sklearn.svm._classes", "SVC"),
    ],
)
def test_a_node_that_no_head_needs_is_refused(
    archive: tuple[str, bytes], tmp_path: Path, node: str, module: str, name: str
) -> None:
    kind, content = archive
    files = members(content)
    schema = json.loads(files["schema.json"])
    schema["content"]["content"]["more"] = {"__class__": name, "__module__": module, "__loader__": node, "content": {}}
    sentence = attempt(packed({**files, "schema.json": json.dumps(schema).encode()}), kind, tmp_path / "head.skops")
    assert f"it holds {module}.{name} ({node}), which no head needs" in sentence
