"""Numbers over outcomes: sign test, win rate with its interval, and the win rate at equal length."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from clarilm_kedro.metrics.bootstrap import BootstrapOptions, Interval, sums_intervals
from clarilm_kedro.metrics.judging.verdicts import LOSE, TIE, WIN
from clarilm_kedro.metrics.mcnemar import mcnemar_exact
from clarilm_kedro.metrics.necessity import ratio

FloatArray = npt.NDArray[np.float64]

#: What an outcome counts in a win rate: ties are half a win.
CREDIT = {WIN: 1.0, TIE: 0.5, LOSE: 0.0}
# Standard deviation of the slope's prior, on a length ratio of unit standard deviation: wide enough to leave real data
# alone, and finite where length tells wins from losses without exception (Gelman et al. 2008, Annals of Applied
# Statistics 2(4), take 2.5 as the scale).
_PRIOR_SD = 2.5
_STEPS = 60
_CLOSE = 1e-10


def sign_test(wins: int, losses: int) -> float:
    """Two-sided exact sign test; ties say nothing about which system is better and are left out.

    Args:
        wins: Pairs won.
        losses: Pairs lost.

    Returns:
        P of a split at least this uneven if each decided pair falls to either side with probability 1/2, which is the
        exact McNemar test on the decided pairs; 1 where none is decided.
    """
    return mcnemar_exact(wins, losses)


def win_rate(outcomes: Sequence[str], options: BootstrapOptions) -> Interval:
    """Win rate with ties as half wins, and its percentile interval over items.

    Every item stands for one pair, so drawing items draws both systems' replies together: the bootstrap is paired.

    Args:
        outcomes: ``win``, ``tie``, ``lose``; others are left out.
        options: Resamples, coverage, seed.

    Returns:
        The interval; missing values without any valid outcome.
    """
    credits = [CREDIT[outcome] for outcome in outcomes if outcome in CREDIT]
    if not credits:
        return Interval(np.nan, np.nan, np.nan)

    def mean(sums: FloatArray, n: int) -> FloatArray:
        return ratio(sums, np.asarray(float(n)))

    return sums_intervals(np.array(credits)[:, None], mean, options)[0]


def length_controlled(outcomes: Sequence[str], log_ratios: Sequence[float]) -> float:
    """Win rate of replies of equal length.

    A logistic regression of the credit of a pair (win 1, tie 1/2, lose 0) on the logarithm of the length ratio, read
    where the lengths are equal: P(win) = 1 / (1 + exp(-(a + b x))) at x = 0. It is the length term of length-controlled
    AlpacaEval (Dubois et al. 2024, arXiv 2404.04475) without that one's terms for model and instruction, which one pair
    of systems cannot tell apart. The intercept is free; the slope has a weak normal prior.

    Args:
        outcomes: ``win``, ``tie``, ``lose``; others are left out.
        log_ratios: log of the system's length over its opponent's, one per outcome.

    Returns:
        A fraction. Missing where nothing is valid, or where one system's replies are the longer ones in every pair, so
        that the value at equal length would be a guess.
    """
    valid = [outcome in CREDIT for outcome in outcomes]
    credit = np.array([CREDIT[outcome] for outcome in outcomes if outcome in CREDIT])
    x = np.asarray(log_ratios, dtype=float)[np.array(valid, dtype=bool)]
    if not len(credit) or x.min() > 0 or x.max() < 0:
        return float("nan")
    mean = float(credit.mean())
    spread = float(x.std())
    # All won or all lost has no finite intercept; equal lengths everywhere need no control.
    return mean if mean in (0.0, 1.0) or spread == 0 else _rate_at_zero(credit, x / spread, mean)


def _rate_at_zero(credit: FloatArray, x: FloatArray, mean: float) -> float:
    """Newton's method on the penalised likelihood, which is concave; steps are halved while they make it worse."""
    design = np.stack([np.ones_like(x), x], axis=1)
    penalty = np.array([0.0, _PRIOR_SD**-2])

    def loss(at: FloatArray) -> float:
        logits = design @ at
        return float(np.sum(np.logaddexp(0, logits) - credit * logits) + penalty @ at**2 / 2)

    weights = np.array([np.log(mean / (1 - mean)), 0.0])
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-(design @ weights)))
        gradient = design.T @ (p - credit) + penalty * weights
        hessian = (design * (p * (1 - p))[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient)
        scale = 1.0
        while scale > _CLOSE and loss(weights - scale * step) > loss(weights):
            scale /= 2
        weights = weights - scale * step
        if np.abs(step).max() < _CLOSE:
            break
    return float(1 / (1 + np.exp(-weights[0])))
