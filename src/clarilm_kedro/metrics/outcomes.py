"""Row scores of one benchmark as arrays over its items, so that tables are sums and not loops over rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from clarilm_kedro.metrics.baselines import BARS
from clarilm_kedro.metrics.bootstrap import FloatArray
from clarilm_kedro.metrics.necessity import BoolArray
from clarilm_kedro.metrics.resampling import outcome_counts

BENCHMARKS = ("our_test", "in3", "clamber")
#: The fine-tuned systems of the paper's Table 2, and ClariLM before DPO.
TRAINED = ("sft-in3", "sft-ql", "sft-full", "clarilm-sft", "clarilm")
SYSTEMS = (*BARS, "base", *TRAINED)


@dataclass(frozen=True)
class System:
    """What one system did on a benchmark's items.

    Attributes:
        seeds: Its seeds, in order.
        asked: Decisions after the policy for unparsed replies, of shape [items, seeds].
        counted: Which decisions count, same shape.
        parsed: Which replies told a decision, same shape.
        values: Metric -> values of shape [items, seeds], missing where the metric does not apply to the item.
    """

    seeds: tuple[int, ...]
    asked: BoolArray
    counted: BoolArray
    parsed: BoolArray
    values: Mapping[str, FloatArray]

    def right(self, needs: BoolArray) -> BoolArray:
        """Say per item whether the system decided right: with most of its seeds, where it has several."""
        right = (self.asked == needs[:, None]) & self.counted
        most: BoolArray = right.sum(axis=1) * 2 > self.counted.sum(axis=1)
        return most

    def mean(self, metric: str, *, asked_only: bool = False) -> float:
        """Mean of a metric over items and seeds, over those that were asked or all; missing where there is none."""
        values = self.values.get(metric)
        if values is None:
            return np.nan
        taken = values[~np.isnan(values) & (self.asked | (not asked_only))]
        return float(taken.mean()) if len(taken) else np.nan

    def taken(self, rows: npt.NDArray[np.int_]) -> "System":
        """Give the system on some of the items."""
        values = {name: value[rows] for name, value in self.values.items()}
        return System(self.seeds, self.asked[rows], self.counted[rows], self.parsed[rows], values)


@dataclass(frozen=True)
class Outcomes:
    """All systems on one benchmark.

    Attributes:
        items: Item ids, sorted.
        needs: Gold labels, of shape [items].
        systems: What each did, in the order of tables.
    """

    items: tuple[str, ...]
    needs: BoolArray
    systems: Mapping[str, System]

    def counts(self, system: str) -> FloatArray:
        """Outcome counts of a system, of shape [items, seeds * 4]."""
        done = self.systems[system]
        return outcome_counts(self.needs, done.asked, done.counted)

    def taken(self, rows: npt.NDArray[np.int_]) -> "Outcomes":
        """Give the outcomes on some of the items."""
        systems = {name: done.taken(rows) for name, done in self.systems.items()}
        return Outcomes(tuple(self.items[row] for row in rows), self.needs[rows], systems)


def outcomes_by_benchmark(row_scores: pd.DataFrame) -> Iterator[tuple[str, Outcomes]]:
    """Turn row scores into arrays.

    Args:
        row_scores: Columns of :data:`clarilm_kedro.metrics.scoring.ROW_SCORE_COLUMNS`; every system has the same items.

    Yields:
        Benchmark and its outcomes, in the order of tables.
    """
    by_benchmark = {str(name): rows for name, rows in row_scores.groupby("benchmark")}
    for benchmark in ordered(list(by_benchmark), BENCHMARKS):
        rows = by_benchmark[benchmark]
        labels = rows.drop_duplicates("item_id").set_index("item_id")["needs_clarification"].sort_index()
        by_system = {str(name): scores for name, scores in rows.groupby("system")}
        yield (
            benchmark,
            Outcomes(
                tuple(labels.index),
                labels.to_numpy(dtype=bool),
                {name: _system(by_system[name], labels.index) for name in ordered(list(by_system), SYSTEMS)},
            ),
        )


def ordered(names: Sequence[str], known: Sequence[str]) -> list[str]:
    """Bring names into the order of the known ones; others follow by name."""
    return sorted(set(names), key=lambda name: (known.index(name) if name in known else len(known), name))


def _system(scores: pd.DataFrame, items: pd.Index) -> System:
    by_metric = {str(name): rows for name, rows in scores.groupby("metric")}
    correct = by_metric["correct"]
    seeds = sorted(map(int, set(correct["seed"])))
    values = {name: _wide(rows, "value", items, seeds) for name, rows in by_metric.items()}
    return System(
        seeds=tuple(seeds),
        asked=_wide(correct, "asked", items, seeds).astype(bool),
        counted=~np.isnan(values["correct"]),
        parsed=_wide(correct, "parsed", items, seeds).astype(bool),
        values={name: value for name, value in values.items() if name != "correct"},
    )


def _wide(rows: pd.DataFrame, column: str, items: pd.Index, seeds: Sequence[int]) -> FloatArray:
    wide = rows.assign(**{column: rows[column].astype(float)}).pivot(index="item_id", columns="seed", values=column)
    array: FloatArray = wide.reindex(index=items, columns=list(seeds)).to_numpy(dtype=float)
    return array
