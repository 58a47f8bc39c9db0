"""TF-IDF: scikit-learn's TfidfVectorizer, fitted once and then frozen.

Fitted on a corpus (`backbone.weights`: one document per line), it transfers what a large unlabelled text tells about
words. Fitted on the training rows (`pretrained`), it is the baseline that a pretrained encoder has to beat.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from stages.backbones import fingerprint
from stages.common.errors import HeadstartError, damaged, not_utf8
from stages.common.params import BackboneParams, ExtractParams

# By scikit-learn's analyzers: single words, or 2 to 5 characters within words.
NGRAMS = {"word": (1, 1), "char_wb": (2, 5)}
VOCABULARY = "vocabulary.parquet"


class Tfidf:
    """Turns texts into sparse vectors by a fixed vocabulary."""

    is_sparse = True
    max_length: int | None = None
    recipe_sentence = ""

    def __init__(self, spec: BackboneParams, settings: ExtractParams, terms: Sequence[str], idf: np.ndarray) -> None:
        """Restore the vectorizer from its vocabulary.

        Args:
            terms: (dim,) vocabulary, in the order of the vector's elements.
            idf: (dim,) inverse document frequencies.
        """
        self.settings = settings
        self.terms, self.idf = list(terms), idf
        self._vectorizer = _vectorizer(spec, settings)
        self._vectorizer.vocabulary = {term: index for index, term in enumerate(self.terms)}
        self._vectorizer.idf_ = idf
        self.dim = len(self.terms)
        self.size_bytes = sum(len(term.encode()) for term in self.terms) + idf.nbytes
        self.fingerprint = fingerprint.from_parts(
            family=spec.family,
            name=spec.name,
            weights=fingerprint.from_parts(terms=self.terms, idf=idf.tolist()),
            normalize=settings.is_normalized,
        )

    def encode(self, inputs: Sequence[str]) -> sparse.csr_matrix:
        """Return the vectors of texts: (inputs, dim) float32, of length 1 with `extract.normalize`."""
        return sparse.csr_matrix(self._vectorizer.transform(inputs), dtype=np.float32)

    def save(self, folder: Path) -> None:
        """Write the vocabulary for `load(saved=folder)`."""
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"term": self.terms, "idf": self.idf}), folder / VOCABULARY, compression="zstd")


def load(
    spec: BackboneParams,
    settings: ExtractParams,
    *,
    training_texts: Callable[[], Iterable[str]] | None,
    saved: Path | None,
) -> Tfidf:
    """Load a saved vocabulary, or fit one on the corpus in `spec.weights` or on the training texts.

    Raises:
        HeadstartError: unknown name, unreadable file, or no words to fit on.
    """
    if spec.name not in NGRAMS:
        raise HeadstartError(f"backbone.name is {spec.name!r}, but must be {' or '.join(NGRAMS)} with family tfidf")
    if saved is not None:
        try:
            table = pq.read_table(saved / VOCABULARY)
            return Tfidf(spec, settings, table["term"].to_pylist(), table["idf"].to_numpy())
        except (OSError, KeyError, pa.ArrowException) as error:
            raise damaged(saved / VOCABULARY, error) from None
    if spec.weights == "random":
        raise HeadstartError(
            "backbone.weights is 'random', but tfidf has no random weights; use pretrained or a text file"
        )
    if spec.weights != "pretrained":
        texts: Iterable[str] = _documents(Path(spec.weights))
        origin = spec.weights
    elif training_texts is not None:
        texts, origin = training_texts(), "the training rows"
    else:
        raise HeadstartError("a tfidf backbone needs its vocabulary or training texts; run `dvc repro extract`")
    vectorizer = _vectorizer(spec, settings)
    try:
        vectorizer.fit(texts)
    except ValueError:
        raise HeadstartError(
            f"{origin} has no words to fit tfidf on; use a text file with one document per line"
        ) from None
    return Tfidf(spec, settings, vectorizer.get_feature_names_out().tolist(), vectorizer.idf_)


def _vectorizer(spec: BackboneParams, settings: ExtractParams) -> TfidfVectorizer:
    return TfidfVectorizer(
        analyzer=spec.name, ngram_range=NGRAMS[spec.name], norm="l2" if settings.is_normalized else None
    )


def _documents(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").splitlines()
    except (FileNotFoundError, IsADirectoryError):
        raise HeadstartError(
            f"backbone.weights is {str(path)!r}, but must be pretrained or a text file with one document per line"
        ) from None
    except UnicodeDecodeError as error:
        raise not_utf8(path, f"at byte {error.start}") from None
