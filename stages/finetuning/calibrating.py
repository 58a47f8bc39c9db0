"""Calibrate a fine-tuned model on the validation rows, and keep what tells how sure it is of new rows."""

import numpy as np
from scipy.special import softmax

from stages.finetuning.classifier import Classifier
from stages.finetuning.rows import Rows
from stages.heads import certainty
from stages.heads.certainty import Certainty, HeldOut
from stages.scores import calibration


def calibrate(classifier: Classifier, train: Rows, validation: Rows) -> Certainty:
    """Fit the temperature on the validation rows, if they are enough, and judge them with it.

    The validation rows chose among the epochs too, so a model may seem a little better by them than it is. Vectors of
    at most `certainty.MAX_KNOWN_ROWS` training rows are computed anew, by the weights that were trained.
    """
    held_out = None
    if validation.inputs:
        scores, y = classifier.scores(validation.inputs), np.asarray(validation.y)
        if len(y) >= calibration.MIN_CALIBRATION_ROWS:
            classifier.temperature = calibration.fit_temperature(scores, y)
        held_out = HeldOut.from_probabilities(softmax(scores / classifier.temperature, axis=1), y, "validation")
    chosen = certainty.sample(len(train.inputs), certainty.most_known(classifier.encoder.dim))
    known = certainty.known_rows(classifier.encoder.encode([train.inputs[row] for row in chosen]))
    return Certainty(held_out, known)
