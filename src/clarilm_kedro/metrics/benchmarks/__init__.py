"""The test sets, each brought into one shape (see :mod:`clarilm_kedro.metrics.benchmarks.shape`)."""
