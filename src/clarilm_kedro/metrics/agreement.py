"""Agreement of a teacher with gold labels: what it finds among what is there, and how often it decides alike.

The functions work on counts and elementwise, so that resamples of a bootstrap are scored at once.
"""

import numpy as np
import numpy.typing as npt

from clarilm_kedro.metrics.necessity import ratio

FloatArray = npt.NDArray[np.float64]


def found_scores(right: npt.ArrayLike, found: npt.ArrayLike, there: npt.ArrayLike) -> FloatArray:
    """Precision, recall and F1 of a search.

    Args:
        right: How many of the items found are right.
        found: How many were found.
        there: How many are there to be found.

    Returns:
        Array of shape [..., 3]. A division by zero gives 0, so that a search that finds nothing has a precision of 0.
    """
    r, f, t = (np.asarray(each, dtype=float) for each in (right, found, there))
    return np.stack([ratio(r, f), ratio(r, t), ratio(2 * r, f + t)], axis=-1)


def decision_scores(tp: npt.ArrayLike, fp: npt.ArrayLike, fn: npt.ArrayLike, tn: npt.ArrayLike) -> FloatArray:
    """Accuracy and Cohen's kappa of two-way decisions against gold.

    Kappa is (a - e) / (1 - e), with the accuracy a and the accuracy e that two judges with these shares of yes reach by
    chance (Cohen 1960, "A coefficient of agreement for nominal scales"): 1 is full agreement, 0 no more than chance.

    Args:
        tp: Both say yes.
        fp: Gold says no, the teacher yes.
        fn: Gold says yes, the teacher no.
        tn: Both say no.

    Returns:
        Array of shape [..., 2]. Where both always say the same one thing kappa is undefined and given as 0.
    """
    yes, wrongly_yes, wrongly_no, no = (np.asarray(each, dtype=float) for each in (tp, fp, fn, tn))
    n = yes + wrongly_yes + wrongly_no + no
    accuracy = ratio(yes + no, n)
    by_chance = ratio((yes + wrongly_yes) * (yes + wrongly_no) + (no + wrongly_yes) * (no + wrongly_no), n**2)
    return np.stack([accuracy, ratio(accuracy - by_chance, 1 - by_chance)], axis=-1)
