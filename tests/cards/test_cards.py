"""Model card and data card: what the Hub reads of them, and what must stand in them."""

from typing import Any

import pandas as pd
import pytest
from huggingface_hub import DatasetCard, ModelCard

from clarilm_kedro.cards.data_card import DataFacts, write_data_card
from clarilm_kedro.cards.markdown import markdown_table
from clarilm_kedro.cards.model_card import ModelFacts, write_model_card
from clarilm_kedro.cards.options import CardOptions
from clarilm_kedro.finetuning.base_model import BaseModelSpec

INPUTS = {
    "sharegpt": "data/01_raw/sample/sharegpt.json",
    "wildchat": "logs/mine.parquet",
    "in3_train": "x/train.jsonl",
    "popqa": None,
}
SOURCES = {"in3": {"inputs": {"in3_train": "train.jsonl"}, "licence": {"name": "Apache-2.0", "notice": "Keep\n it."}}}
LEAKS = [{"train_table": "sft|train", "test_set": "in3", "method": "exact", "action": "dropped", "n": 2}]


def options(**given: Any) -> CardOptions:
    return CardOptions(**{"inputs": INPUTS, "sample_dir": "data/01_raw/sample", **given})


def model_facts(teacher: str = "gpt-4o", base: str = "meta-llama/Meta-Llama-3-8B", n: int = 64) -> ModelFacts:
    def row(system: str, f1: float) -> dict[str, Any]:
        shares = {"acc": f1, "f1_macro": f1, "f1_pos": f1, "tf": 0.1, "bert": float("nan")}
        interval = {"f1_macro_low": f1 - 0.1, "f1_macro_high": f1 + 0.1, "acc_low": f1 - 0.1, "acc_high": f1 + 0.1}
        named = {"benchmark": "in3", "system": system, "n": n, "teacher": teacher, "bertscore": "minilm"}
        return {**named, **shares, **interval}

    compared = {"benchmark": "in3", "system": "clarilm", "other": "tf-idf", "f1_macro_diff": 0.1}
    return ModelFacts(
        base_model=BaseModelSpec(source=base, chat_template="llama3"),
        sft={
            "rows": 1200,
            "rows_by_origin": {"log": 200, "generated": 1000},
            "leakage": LEAKS,
            "options": {"epochs": 1},
        },
        dpo={"pairs": 140},
        calibration={"threshold": 0.4321, "n": 80, "status": "fitted"},
        results=pd.DataFrame([row("always-ask", 0.4), row("clarilm", 0.8), row("mine", 0.9)]),
        comparisons=pd.DataFrame([{**compared, "f1_macro_low": -0.02, "f1_macro_high": 0.2, "mcnemar_p_holm": 0.04}]),
        sources=SOURCES,
    )


def test_the_hub_reads_the_model_cards_front_matter() -> None:
    data = ModelCard(write_model_card(model_facts(), options(license="llama3", dataset_id="me/data"))).data
    assert (data.base_model, data.library_name, data.license) == ("meta-llama/Meta-Llama-3-8B", "peft", "llama3")
    assert data.datasets == ["me/data"]
    assert {result.metric_value for result in data.eval_results} == {80.0}
    assert data.eval_results[0].metric_name == "macro F1 [70.0, 90.0], n = 64"


def test_a_local_base_model_is_not_named_as_one_of_the_hub() -> None:
    card = write_model_card(model_facts(base="packaged:smollm2"), options())
    assert ModelCard(card).data.base_model is None
    assert "from_pretrained" not in card
    assert "kedro clarilm export --format merged" in card


def test_the_model_card_holds_what_a_user_must_know() -> None:
    card = write_model_card(model_facts(), options(model_id="me/clarilm"))
    for expected in (
        "**0.4321**, which was fitted on 80",
        "State 'Need Clarification: Yes' or 'No'",
        "generated 1,000, log 200",
        "| sharegpt | sharegpt.json | Apache-2.0 | The sample world",
        "| wildchat | mine.parquet | not known |",
        "| in3_train | train.jsonl | Apache-2.0 | If the file is the public one: Keep it. |",
        "| sft\\|train | in3 | exact | dropped | 2 |",
        "| IN3 | always-ask | 64 | 40.0 | 40.0 [30.0, 50.0] | 40.0 | 10.0 | - |",
        "| IN3 | tf-idf | +10.0 [-2.0, +20.0] | 0.04 |",
        "is not clearly behind it in macro F1 on IN3",
        "Its test sets are small (at most 64 items)",
        'from_pretrained("me/clarilm")',
    ):
        assert expected in card
    assert "| mine |" not in card
    assert "popqa" not in card


def test_scripted_data_are_called_that() -> None:
    told = "say nothing about real questions"
    assert told in write_model_card(model_facts(teacher="sample-teacher"), options())
    assert told not in write_model_card(model_facts(n=1000), options())


def data_facts(teacher: str = "gpt-4o", rows: int = 3) -> DataFacts:
    statistics = [
        ("chosen_of_questions", "answer", "count", 30.0),
        ("chosen_of_questions", "log", "count", 10.0),
        ("balance", "all", "ask_share", 0.25),
        ("agreement", "all", "unanimous", 1.0),
    ]
    summary = [
        ("step", "annotations", 40, float("nan"), teacher),
        ("step", "answers", 0, float("nan"), ""),
        ("table", "sft_train", 3 * rows, 1 / 3, teacher),
        ("table", "preferences", 0, float("nan"), ""),
    ]
    return DataFacts(
        log_statistics=pd.DataFrame([{"source": "wildchat", "stage": "read", "sessions": 838_000}]),
        data_summary=pd.DataFrame(summary, columns=["kind", "name", "rows", "ask_share", "teachers"]),
        preference_statistics=pd.DataFrame(statistics, columns=["section", "group", "measure", "value"]),
        leakage_summary=pd.DataFrame(columns=["train_table", "test_set", "method", "action", "n"]),
        sources=SOURCES,
    )


@pytest.mark.parametrize(("rows", "size"), [(3, "n<1K"), (1000, "1K<n<10K")])
def test_the_hub_reads_the_data_cards_front_matter(rows: int, size: str) -> None:
    data = DatasetCard(write_data_card(data_facts(rows=rows), options())).data
    assert (data.license, data.size_categories, data.language) == ("other", size, ["en"])


def test_the_data_card_holds_what_a_user_must_know() -> None:
    card = write_data_card(data_facts(), options())
    for expected in (
        "| sft, train | 9 | 33.3 % |",
        "| preferences | 0 | - |",
        "| sessions of wildchat, read | 838,000 |",
        "| FM-LOG | 10 | 25.0 % |",
        "A clarification was chosen for 25.0 % of the questions. All votes agreed on 100.0 % of them.",
        "annotations: gpt-4o; answers: none",
        "none was found",
        "users' own words",
    ):
        assert expected in card
    assert "This is sample data" not in card
    assert "This is sample data" in write_data_card(data_facts("sample-teacher"), options())


def test_a_cell_cannot_break_the_table() -> None:
    assert markdown_table(("a",), [("x | y\nz",)]) == "| a |\n| --- |\n| x \\| y z |"
