"""Which published benchmarks there are: every module beside this one that has a ``BENCHMARK``.

A benchmark is added by one file here and its ``inputs.<name>``; see docs/evaluation.md.
"""

import pkgutil
from importlib import import_module

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.metrics import benchmarks
from clarilm_kedro.metrics.benchmarks import our_test
from clarilm_kedro.metrics.benchmarks.shape import Benchmark

# The paper's come first and in its order, as in its Table 2; others follow by name.
_PAPER = ("in3", "clamber")


def published_benchmarks() -> tuple[Benchmark, ...]:
    """Find the published benchmarks.

    Returns:
        Those of the paper, then the others by name.

    Raises:
        ClarilmError: Two have the same name, or one has that of Our-test.
    """
    modules = [
        import_module(f"{benchmarks.__name__}.{found.name}") for found in pkgutil.iter_modules(benchmarks.__path__)
    ]
    found = [module.BENCHMARK for module in modules if isinstance(getattr(module, "BENCHMARK", None), Benchmark)]
    names = [our_test.NAME, *(each.name for each in found)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ClarilmError(f"Two benchmarks are called '{twice[0]}': give the module's BENCHMARK another name.")
    return tuple(sorted(found, key=lambda each: (*(each.name != name for name in _PAPER), each.name)))


def benchmark_titles() -> dict[str, str]:
    """Give the titles of all benchmarks by name, Our-test first."""
    return {our_test.NAME: our_test.TITLE, **{each.name: each.title for each in published_benchmarks()}}
