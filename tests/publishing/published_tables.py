"""Tables of a small run, as they are published."""

import numpy as np
import pandas as pd

CARD_TEXT = "---\nlicense: other\nconfigs: []\n---\n# Data\n\nThe licence of WildChat is ODC-BY.\n"
QUESTIONS = pd.DataFrame(
    {
        "question_id": ["log-train", "log-reply", "made-train", "made-test", "log-test", "made-valid"],
        "origin": ["log", "log", "generated", "generated", "log", "generated"],
    }
)
ANSWERS = pd.DataFrame({"question_id": QUESTIONS["question_id"], "source": ["generated", "log", *["generated"] * 4]})


def rows(*ids: str) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "row_id": ids,
            "question": [f"question of {each}" for each in ids],
            "asks": True,
            "text": "Which?",
            "origin": "log",
            "teacher": "t",
            "surprise": "a column that is new",
        }
    )


def tables() -> dict[str, pd.DataFrame]:
    pairs = pd.DataFrame(
        {
            "preference_id": ["p1", "p2", "p3", "p4"],
            "question_id": ["log-train", "made-train", "made-test", "log-reply"],
            "split": ["train", "train", "test", "valid"],
        }
    )
    for column in ("question", "type", "chosen", "rejected", "chosen_source", "rejected_source", "teacher"):
        pairs[column] = column + pairs["preference_id"]
    pairs["prompt"], pairs["request_key"] = "the whole prompt", "key"
    pairs["chosen_asks"], pairs["rejected_asks"] = True, False
    dpo = pairs.rename(columns={"preference_id": "row_id"}).drop(columns="question_id")
    tests = pd.DataFrame(
        {
            "item_id": ["made-test", "log-test"],
            "question": ["a", "b"],
            "needs_clarification": [True, False],
            "reference": ["Which?", "So."],
            "references": [np.array(["Which?"], dtype=object), np.array([], dtype=object)],
            "facet": ["kind", ""],
            "thought": ["t", "t"],
            "teacher": ["t", "t"],
        }
    )
    return {
        "sft_train": rows("log-train", "log-reply", "made-train", "in3_train-0"),
        "validation": rows("made-valid"),
        "dpo_train": dpo,
        "preferences": pairs,
        "our_test": tests,
    }
