"""The audit's table and page."""

import numpy as np
import pandas as pd
import pytest

from clarilm_kedro.pipelines.audit.reporting import report_audit, write_audit_markdown
from clarilm_kedro.pipelines.audit.schemas import DISAGREEMENTS, SCORES, USAGE
from clarilm_kedro.tables import table


def scores(*rows: tuple[str, str, str, float, int]) -> pd.DataFrame:
    named = [
        {"task": task, "subset": subset, "metric": metric, "value": value, "n": n, "low": value / 2, "high": value}
        for task, subset, metric, value, n in rows
    ]
    return table(named, SCORES)


def usage(stage: str, asked: str, model: str, calls: int, failed: int, cost: float | None) -> pd.DataFrame:
    row = {"stage": stage, "asked": asked, "model": model, "calls": calls, "failed": failed, "rejected": 3}
    return table([{**row, "prompt_tokens": 1000, "completion_tokens": 50, "cost_usd": cost}], USAGE)


SCORED = scores(
    ("extraction", "all", "precision", 0.8, 20),
    ("annotation", "own_candidates", "kappa", np.nan, 0),
    ("in3_facets", "importance_3", "recall_at_1_exact", 0.25, 9),
    ("in3_facets", "importance_3", "recall_at_1_cosine", 0.5, 9),
)
WRONG = table([{**dict.fromkeys(DISAGREEMENTS, "x | y\n<b>"), "task": "extraction"}], DISAGREEMENTS)


def test_models_are_named_on_every_row_and_a_scripted_one_as_that() -> None:
    asked = (usage("e", "chat_llm", "sample-teacher", 4, 1, 0.0), usage("c", "reasoning_llm", "r1", 6, 0, 0.5))
    audit, wrong = report_audit(SCORED, WRONG, *asked)
    assert set(audit["teacher"]) == {"sample-teacher (scripted)"}
    assert set(audit["reasoning_model"]) == {"r1"}
    assert all("scripted teacher" in note for note in audit["note"])
    assert len(wrong) == 1
    cost = audit[audit["task"] == "cost"].set_index(["subset", "metric"])["value"]
    assert (cost["e", "failed_share"], cost["all", "failed_share"]) == (0.25, pytest.approx(0.1))
    assert cost["all", "rejected"] == 6
    assert (cost["all", "calls"], cost["all", "prompt_tokens"], cost["all", "cost_usd"]) == (10, 2000, 0.5)


def test_an_unknown_price_makes_the_sum_unknown() -> None:
    audit, _ = report_audit(
        SCORED, WRONG, usage("e", "chat_llm", "m", 1, 0, None), usage("c", "chat_llm", "m", 1, 0, 1)
    )
    cost = audit[(audit["task"] == "cost") & (audit["metric"] == "cost_usd")]
    assert cost["value"].isna().tolist() == [True, False, True]
    assert cost["note"].tolist() == ["unknown: no token counts or no price", "", "unknown: no token counts or no price"]
    assert "(scripted)" not in " ".join(audit["teacher"])


def test_the_page_shows_both_senses_side_by_side_and_what_is_unknown() -> None:
    page = write_audit_markdown(*report_audit(SCORED, WRONG, usage("e", "chat_llm", "m", 0, 0, None)))
    lines = [" ".join(line.split()) for line in page.splitlines()]
    assert "| extraction | all | precision | 0.800 | [0.400, 0.800] | 20 |" in lines
    assert "| annotation | own_candidates | kappa | - | | 0 |" in lines
    assert "| in3_facets | importance_3 | 0.250 / 0.500 | 9 |" in lines
    assert "| all | 0 | 0.000 | 3 | 1,000 | 50 | unknown |" in lines
    assert "extraction 1." in page
    assert "x | y" not in page
