"""Tell how the values of a metric are to be read, for the metrics of all tasks."""

LOWER_IS_BETTER = frozenset({"log_loss", "hamming_loss", "mean_absolute_error", "root_mean_squared_error"})
IN_UNITS = frozenset({"mean_absolute_error", "root_mean_squared_error"})  # in the unit of the labels


def is_higher_better(metric: str) -> bool:
    """Tell whether a higher value is better; `metric` is a name in the headline of any task."""
    return metric not in LOWER_IS_BETTER
