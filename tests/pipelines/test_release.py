"""What a run leaves for others: the summary behind the data card, the model card, the package for the registry."""

import pandas as pd
import pytest

from clarilm_kedro.cards.options import CardOptions
from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.results import TrainedAdapter
from clarilm_kedro.pipelines.ofs.data_summary import summarise_data
from clarilm_kedro.pipelines.release.nodes import describe_model, package_assistant

TABLES = ("clarifications", "seed_questions", "synthetic_questions", "facets", "answers", "annotations")
RESULTS = pd.DataFrame(
    [
        {"benchmark": "in3", "system": "clarilm", "f1_macro": 0.81234, "teacher": "gpt-4o"},
        {"benchmark": "in3", "system": "base", "f1_macro": 0.3, "teacher": "gpt-4o"},
    ]
)


def test_the_summary_counts_shares_and_teachers() -> None:
    empty = pd.DataFrame({"teacher": pd.Series(dtype="str")})
    given = dict.fromkeys(TABLES, empty)
    given["answers"] = pd.DataFrame({"teacher": ["b", "a", None, "b", ""]})
    asked = pd.DataFrame({"teacher": ["a"] * 4, "asks": [True, False, False, False]})
    pairs = pd.DataFrame({"teacher": ["a", "a"], "chosen_asks": [True, True], "rejected_asks": [False, False]})
    test = pd.DataFrame({"teacher": ["a"], "needs_clarification": [True]})
    summary = summarise_data(**given, sft_train=asked, validation=asked[:0], preferences=pairs, our_test=test)
    assert list(summary["name"]) == [*TABLES, "sft_train", "validation", "preferences", "our_test"]
    rows = summary.set_index("name")
    assert rows.loc["answers", ["kind", "rows", "teachers"]].tolist() == ["step", 5, "a, b"]
    assert rows.loc[["sft_train", "preferences", "our_test"], "ask_share"].tolist() == [0.25, 1.0, 1.0]
    assert rows.loc[["answers", "validation"], "ask_share"].isna().all()


def test_the_package_holds_threshold_card_and_facts(tiny_base: BaseModelSpec, tiny_adapter: TrainedAdapter) -> None:
    package = package_assistant(tiny_adapter, tiny_base, {"clarilm": {"threshold": 0.3}}, RESULTS, "# Card")
    assert package.spec is not None
    assert (package.spec.threshold, package.spec.adapter, package.card) == (0.3, tiny_adapter.path, "# Card")
    assert package.tags == {"base_model": tiny_base.source, "teacher": "gpt-4o", "in3.f1_macro": "0.8123"}


@pytest.mark.parametrize("reason", ["Too few pairs.", ""])
def test_without_a_model_the_reason_stands_in_its_place(tiny_base: BaseModelSpec, reason: str) -> None:
    skipped = TrainedAdapter.skipped(reason)
    said = reason or "ClariLM was not trained."
    package = package_assistant(skipped, tiny_base, {}, RESULTS, "")
    assert (package.spec, package.reason) == (None, said)
    options = CardOptions(inputs={}, sample_dir="sample")
    card = describe_model(skipped, skipped, tiny_base, {}, RESULTS, RESULTS, {}, options)
    assert card == f"There is no model to describe. {said}\n"
