"""The bars that every table carries: systems without a language model.

Always-ask and never-ask show what a benchmark gives for nothing (always asking scores 87.96 accuracy on IN3 test), the
coin what knowing the ask rate gives, and TF-IDF with logistic regression what the wording alone gives. Always-ask and
the others that ask put one generic question; echo always sends the user's question back, which Token F1 likes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from clarilm_kedro.options import Options
from clarilm_kedro.text.hashing import stable_unit

ALWAYS_ASK, NEVER_ASK, RANDOM, ECHO, TF_IDF = "always-ask", "never-ask", "random", "echo", "tf-idf"
BARS = (ALWAYS_ASK, NEVER_ASK, RANDOM, ECHO, TF_IDF)


class BaselineOptions(Options):
    """What the bars do."""

    generic_question: str = Field(
        default="Could you please give me more details about what you need?",
        min_length=1,
        description="What a bar asks when it asks; it fits anything, so its Token F1 and BERTScore are a floor.",
    )
    regularisation: float = Field(default=1.0, gt=0, description="C of the logistic regression on TF-IDF features.")
    seed: int = Field(default=7, description="Seed of the coin.")


def coin_asks(ask_rate: float, seed: int, *key: object) -> bool:
    """Flip a coin for one item; the result depends on the seed and the item's key only.

    Args:
        ask_rate: Probability of asking.
        seed: Seed of the coin.
        *key: What identifies the item.
    """
    return stable_unit(seed, *key) < ask_rate


@dataclass(frozen=True)
class TfIdfModel:
    """A fitted TF-IDF logistic regression.

    Attributes:
        pipeline: The scikit-learn pipeline.
    """

    pipeline: Any

    def ask_probabilities(self, questions: Sequence[str]) -> npt.NDArray[np.float64]:
        """Probability that each question needs a clarification."""
        if not len(questions):
            return np.zeros(0)
        probabilities: npt.NDArray[np.float64] = self.pipeline.predict_proba(list(questions))[:, 1]
        return probabilities


def fit_tf_idf(questions: Sequence[str], needs: Sequence[bool], options: BaselineOptions) -> TfIdfModel | None:
    """Fit logistic regression on TF-IDF of words (1-2) and characters (3-5).

    Args:
        questions: Training questions.
        needs: Their labels.
        options: Regularisation.

    Returns:
        The model, or None where the labels do not hold both classes.
    """
    if len(set(map(bool, needs))) < 2:
        return None
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    # Sorted, so that the last bits of the solution do not depend on the order of rows.
    rows = sorted(zip(questions, map(bool, needs), strict=True))
    features = make_union(
        TfidfVectorizer(ngram_range=(1, 2)),
        TfidfVectorizer(analyzer="char", ngram_range=(3, 5)),
    )
    model = make_pipeline(features, LogisticRegression(C=options.regularisation, max_iter=2000))
    return TfIdfModel(model.fit([question for question, _ in rows], [label for _, label in rows]))
