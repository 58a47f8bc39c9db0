"""Words of the page that a newcomer may not know, explained where they stand."""

TERMS = {
    "head": "A classifier on the vectors of the pretrained model, which stays as it is.",
    "finetuned": "The pretrained model, trained further on your rows.",
    "baseline": "A classifier without a pretrained model, trained on the same rows: what transfer must beat.",
    "accuracy": "The share of the test rows that are right: of several labels per row, with all labels right.",
    "balanced_accuracy": "The mean recall of the classes: small classes count as much as large ones.",
    "macro_f1": "The mean of the classes' F1: small classes count as much as large ones.",
    "micro_f1": "The F1 of all decisions together: frequent labels count more than rare ones.",
    "hamming_loss": "The share of all decisions, to give a label to a test row or not to, that are wrong.",
    "mean_average_precision": "The mean over the labels of their average precision.",
    "weighted_f1": "The mean of the classes' F1, weighted by their rows.",
    "matthews_correlation": "The correlation of predicted and true classes: 1 is perfect, 0 is what chance gives.",
    "cohen_kappa": "The agreement with the true classes beyond chance: 1 is perfect, 0 is what chance gives.",
    "mean_absolute_error": "How far predictions are from the truth on average; 0 is best.",
    "root_mean_squared_error": "The same, but a few large errors count more than many small ones; 0 is best.",
    "r2": "How much smaller squared errors are than those of the mean: 1 is perfect, 0 as good as the mean.",
    "spearman": "The correlation of the ranks of predictions and truth: 1 where they rise together.",
    "quadratic_weighted_kappa": "The agreement beyond chance, where a miss by two steps counts four times as much.",
    "top_3_accuracy": "The share of the test rows whose class is among the three that the model finds likeliest.",
    "top_5_accuracy": "The share of the test rows whose class is among the five that the model finds likeliest.",
    "log_loss": "How surprised the model is by the right labels, in nats; 0 is best. It punishes confident mistakes.",
    "roc_auc": "The chance that a row of the second class gets a higher score than one of the first.",
    "average_precision": "The mean precision over all thresholds, for the second class, or for a label.",
    "calibration_error": "How far the confidence is from the share of rows that are right, on average.",
    "p_value": "How often two equally good models would differ this much by the choice of test rows: McNemar's test.",
    "precision": "Of the rows that the model puts into the class, the share that belongs there.",
    "recall": "Of the rows of the class, the share that the model finds.",
    "f1": "The harmonic mean of precision and recall.",
    "support": "The number of test rows of the class.",
}


def about(rows: str) -> dict[str, str]:
    """Explain the words for judged rows that are called `rows`, such as test rows."""
    return {name: text.replace("test rows", rows) for name, text in TERMS.items()}
