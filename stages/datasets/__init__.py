"""Public data sets for fetch, one file per source."""

FETCH_TIMEOUT_SECONDS = 10.0
CHECK_NETWORK = "check the network, or run this on a machine that has one and copy the folder here"
