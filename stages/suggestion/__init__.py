"""Which unlabelled rows are worth labelling next."""
