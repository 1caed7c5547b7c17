"""What the data consist of, as one table: counts, shares of asking, teachers."""

import pandas as pd

from clarilm_kedro.tables import table

#: Columns: ``kind`` (step: made on the way; table: for training or testing), ``name``, ``rows``, ``ask_share`` (share
#: of rows whose reply, or whose chosen reply, asks; missing where rows do not say) and ``teachers`` (sorted, by comma).
COLUMNS = {"kind": "str", "name": "str", "rows": "int64", "ask_share": "float64", "teachers": "str"}

_ASKS = ("asks", "chosen_asks", "needs_clarification")


def summarise_data(
    clarifications: pd.DataFrame,
    seed_questions: pd.DataFrame,
    synthetic_questions: pd.DataFrame,
    facets: pd.DataFrame,
    answers: pd.DataFrame,
    annotations: pd.DataFrame,
    sft_train: pd.DataFrame,
    validation: pd.DataFrame,
    preferences: pd.DataFrame,
    our_test: pd.DataFrame,
) -> pd.DataFrame:
    """Count what was made, and by whom.

    Args:
        clarifications: Instances extracted from the logs.
        seed_questions: Q^L.
        synthetic_questions: Q^G.
        facets: Candidates after fusion.
        answers: Direct answers.
        annotations: Choices of the reasoning model.
        sft_train: Rows for supervised fine-tuning.
        validation: Rows that fit the threshold.
        preferences: All preference rows.
        our_test: Held-out annotated questions.

    Returns:
        One row per table, in this order; columns in :data:`COLUMNS`.
    """
    steps = {
        "clarifications": clarifications,
        "seed_questions": seed_questions,
        "synthetic_questions": synthetic_questions,
        "facets": facets,
        "answers": answers,
        "annotations": annotations,
    }
    tables = {"sft_train": sft_train, "validation": validation, "preferences": preferences, "our_test": our_test}
    named = [("step", *each) for each in steps.items()] + [("table", *each) for each in tables.items()]
    return table(
        [
            {
                "kind": kind,
                "name": name,
                "rows": len(rows),
                "ask_share": _ask_share(rows),
                "teachers": ", ".join(sorted({str(each) for each in rows["teacher"].dropna() if str(each)})),
            }
            for kind, name, rows in named
        ],
        COLUMNS,
    )


def _ask_share(rows: pd.DataFrame) -> float:
    column = next((name for name in _ASKS if name in rows), None)
    return float("nan") if column is None or rows.empty else float(rows[column].mean())
