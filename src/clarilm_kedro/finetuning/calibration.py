"""The threshold on P(ask): fitted on a validation split that no system was trained on.

A small model's own decision is often degenerate (it asks always, or never) though it ranks questions well; the
threshold turns the ranking into decisions, by the same rule for every system that is compared.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from clarilm_kedro.errors import ClarilmError

if TYPE_CHECKING:
    import numpy as np

Objective = Literal["f1_macro", "accuracy", "balanced_accuracy", "cost"]

#: Used where no threshold could be fitted.
DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True)
class Calibration:
    """A threshold and how it was found.

    Attributes:
        threshold: Ask where P(ask) is at least this.
        score: The objective at the threshold, on the rows it was fitted on; None where it was not fitted.
        n: Rows.
        status: ``fitted`` or ``skipped``.
        reason: Why it was skipped, else empty.
        objective: What was maximised.
        auc: Area under the ROC curve, which needs no threshold; None where skipped.
        score_at_half: The objective at 0.5, to see what fitting gained; None where skipped.
        curve: The objective per gap between probabilities: ``threshold``, ``score``, ``ask_rate``.
    """

    threshold: float
    score: float | None
    n: int
    status: Literal["fitted", "skipped"]
    reason: str = ""
    objective: Objective = "f1_macro"
    auc: float | None = None
    score_at_half: float | None = None
    curve: list[dict[str, float]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Give the fields as JSON values."""
        return asdict(self)


def fit_threshold(
    p_ask: "Sequence[float] | np.ndarray",
    needs: "Sequence[bool] | np.ndarray",
    objective: Objective = "f1_macro",
    *,
    min_examples: int = 2,
    cost_missed: float = 2.0,
    cost_needless: float = 1.0,
) -> Calibration:
    """Find the threshold on P(ask) that scores best.

    The score changes only where the threshold passes a probability, so every gap between neighbouring distinct values
    (0 and 1 included as the outer ends) is tried once. Of the gaps that score best, the widest is taken and the
    threshold put into its middle, which is where a new row is least likely to fall on the wrong side.

    Args:
        p_ask: Probability of asking per row, each in [0, 1].
        needs: Whether the row needs a clarification.
        objective: ``f1_macro``, ``accuracy`` or ``balanced_accuracy``, as scikit-learn defines them (a class without
            predictions has F1 0); or ``cost``, minus the mean cost per row.
        min_examples: Fewer rows than this fit nothing.
        cost_missed: What a question that was needed and not asked costs, for ``cost``.
        cost_needless: What a needless question costs.

    Returns:
        The calibration; with too few rows or one class only it is skipped, with a reason and threshold 0.5.

    Raises:
        ClarilmError: Lengths differ, or a probability is not a number in [0, 1].
    """
    import numpy as np

    p = np.asarray(p_ask, dtype=float)
    y = np.asarray(needs, dtype=bool)
    if p.shape != y.shape:
        raise ClarilmError(f"{len(p)} probabilities were given for {len(y)} rows to calibrate on.")
    if not np.all((p >= 0) & (p <= 1)):
        raise ClarilmError("P(ask) holds values that are not numbers between 0 and 1: the model is broken.")
    n, positives = len(y), int(y.sum())
    if n < min_examples:
        return _skipped(n, objective, f"{n} validation rows are fewer than the {min_examples} that are asked for")
    if positives in (0, n):
        kind = "need a clarification" if positives else "need none"
        return _skipped(n, objective, f"all {n} validation rows {kind}, so there is nothing to tell apart")

    values = np.unique(p)
    edges = np.concatenate([[0.0], values, [1.0]])
    thresholds, widths = (edges[:-1] + edges[1:]) / 2, np.diff(edges)
    # Gap i lies below values[i]: asked are the rows at values[i] and above.
    asked_rows = p[None, :] >= np.append(values, np.inf)[:, None]
    costs = (cost_missed, cost_needless)
    scores = _scores(asked_rows, y, objective, costs)
    # Above a probability of 1, or between two neighbouring floats, lies no number that could be the threshold.
    usable = np.append(True, thresholds[1:] > values)
    best = np.flatnonzero(usable & (scores >= scores[usable].max() - 1e-12))
    # Of equally wide gaps the one nearest to one half, then the lower.
    chosen = min(best, key=lambda i: (-round(float(widths[i]), 12), round(abs(float(thresholds[i]) - 0.5), 12), i))
    curve = [
        {"threshold": float(threshold), "score": float(score), "ask_rate": float(asked.mean())}
        for threshold, score, asked in zip(thresholds[usable], scores[usable], asked_rows[usable], strict=True)
    ]
    return Calibration(
        threshold=float(thresholds[chosen]),
        score=float(scores[chosen]),
        n=n,
        status="fitted",
        objective=objective,
        auc=_auc(p, y),
        score_at_half=float(_scores((p >= DEFAULT_THRESHOLD)[None, :], y, objective, costs)[0]),
        curve=curve,
    )


def _skipped(n: int, objective: Objective, reason: str) -> Calibration:
    return Calibration(DEFAULT_THRESHOLD, None, n, "skipped", f"No threshold was fitted: {reason}.", objective)


def _scores(asked: "np.ndarray", needs: "np.ndarray", objective: Objective, costs: tuple[float, float]) -> "np.ndarray":
    """Score decisions, one set a row: asked [m, n] against needs [n]; both classes occur in needs."""
    import numpy as np

    tp = (asked & needs).sum(axis=1)
    fp = (asked & ~needs).sum(axis=1)
    fn = (~asked & needs).sum(axis=1)
    tn = (~asked & ~needs).sum(axis=1)
    if objective == "cost":
        return np.asarray(-(costs[0] * fn + costs[1] * fp) / asked.shape[1])
    if objective == "accuracy":
        return np.asarray((tp + tn) / asked.shape[1])
    if objective == "balanced_accuracy":
        return np.asarray((tp / (tp + fn) + tn / (tn + fp)) / 2)
    return np.asarray((2 * tp / (2 * tp + fp + fn) + 2 * tn / (2 * tn + fp + fn)) / 2)


def _auc(p: "np.ndarray", needs: "np.ndarray") -> float:
    """Share of (needs, needs not) pairs in the right order, ties half: the Mann-Whitney U statistic."""
    from scipy.stats import rankdata

    positives = int(needs.sum())
    ranks = rankdata(p)[needs].sum()
    return float((ranks - positives * (positives + 1) / 2) / (positives * (len(p) - positives)))
