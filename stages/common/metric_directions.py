"""Tell whether a higher value of a metric is better, for the metrics of all tasks."""

LOWER_IS_BETTER = frozenset({"log_loss", "hamming_loss", "mean_absolute_error", "root_mean_squared_error"})


def is_higher_better(metric: str) -> bool:
    """Tell whether a higher value is better; `metric` is a name in the headline of any task."""
    return metric not in LOWER_IS_BETTER
