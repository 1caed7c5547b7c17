import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from clarilm_kedro.datasets.adapter import AdapterDataset
from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.launch import IN_PROCESS, LaunchOptions
from clarilm_kedro.finetuning.results import TrainedAdapter
from clarilm_kedro.pipelines.ofs.schemas import LEAKAGE_SUMMARY
from clarilm_kedro.pipelines.training import create_pipeline
from clarilm_kedro.pipelines.training.nodes import (
    align_clarilm_dpo,
    calibrate_ask_threshold,
    sample_to_ask_rate,
    select_in3_rows,
    train_variant_sft,
)
from clarilm_kedro.pipelines.training.rows import IN3, IN3_TESTED
from clarilm_kedro.pipelines.training.schemas import (
    VARIANTS,
    CalibrationOptions,
    ClarilmDpoOptions,
    ClarilmSftOptions,
    VariantOptions,
)
from clarilm_kedro.tables import table
from finetuning.tiny import save_tiny_model
from pipelines.question_rows import benchmark, in3, in3_rows

VAGUE = ["Recommend me a laptop.", "Plan my trip.", "Help me.", "Write a speech.", "Fix my code.", "Which one?"]
CLEAR = ["What does SSD stand for?", "How tall is it?", "Who wrote it in 1917?", "Is 4 even?", "What is 2 + 2?", "Why?"]
CLEAN = table([], LEAKAGE_SUMMARY)
BOTH = VariantOptions()
EVERY = VariantOptions(train=list(VARIANTS))
OTHERS = [TrainedAdapter.not_wanted()] * 3
ASK, ANSWER = "What will you mainly use it for?", "It stands for solid state drive."


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> BaseModelSpec:
    return BaseModelSpec(source=str(save_tiny_model(tmp_path_factory.mktemp("tiny"))), dtype="float32")


@pytest.fixture(scope="module")
def sft_train() -> pd.DataFrame:
    rows = [(question, question in VAGUE) for question in [*VAGUE, *CLEAR]]
    return pd.DataFrame(
        [
            {"row_id": str(at), "question": question, "asks": asks, "text": ASK if asks else ANSWER}
            | {"origin": "generated" if at % 3 else "log", "teacher": "t"}
            for at, (question, asks) in enumerate(rows)
        ]
    )


@pytest.fixture(scope="module")
def dpo_train(sft_train: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "row_id": row["row_id"],
                "question": row["question"],
                "chosen": row["text"],
                "rejected": ANSWER if row["asks"] else ASK,
                "chosen_asks": row["asks"],
                "rejected_asks": not row["asks"],
                "type": "clarify>answer" if row["asks"] else "answer>clarify",
            }
            for row in sft_train.to_dict("records")
        ]
    )


def options(**changes: Any) -> dict[str, Any]:
    small = {"seed": 1, "batch_size": 4, "micro_batch_size": 4, "max_length": 256, "min_examples": 4}
    return {**small, **changes}


def catalog_of(
    tiny: BaseModelSpec, sft_train: pd.DataFrame, dpo_train: pd.DataFrame, folder: Path, variants: VariantOptions
) -> DataCatalog:
    tasks = [f"Plan my visit to town {at}." for at in range(6)]
    return DataCatalog(
        {
            "in3_train_clean": MemoryDataset(in3_rows(*tasks)),
            "in3_train": MemoryDataset(in3(*tasks)),
            "benchmark_questions": MemoryDataset(benchmark(in3=tasks[0])),
            "params:training.variants": MemoryDataset(variants),
            "sft_train": MemoryDataset(sft_train),
            "dpo_train": MemoryDataset(dpo_train),
            "validation": MemoryDataset(sft_train),
            "leakage_summary": MemoryDataset(CLEAN),
            "base_model": MemoryDataset(tiny, copy_mode="assign"),
            **{f"{name}_adapter": AdapterDataset(filepath=str(folder / name)) for name in VARIANTS},
            "params:training.sft": MemoryDataset(ClarilmSftOptions(**options(learning_rate=2e-2, epochs=20))),
            "params:training.dpo": MemoryDataset(ClarilmDpoOptions(**options(learning_rate=1e-3, epochs=2))),
            "params:training.launch": MemoryDataset(LaunchOptions(work_dir=str(folder / "work"))),
            "params:training.calibration": MemoryDataset(CalibrationOptions(min_examples=4)),
        }
    )


def test_the_pipeline_trains_aligns_and_calibrates(
    tiny: BaseModelSpec, sft_train: pd.DataFrame, dpo_train: pd.DataFrame, tmp_path: Path
) -> None:
    """As a run does it, with adapters going through their datasets."""
    catalog = catalog_of(tiny, sft_train, dpo_train, tmp_path, BOTH)
    outputs = SequentialRunner().run(create_pipeline(), catalog)
    calibrations = outputs["calibrations"].load()
    assert set(calibrations) == {"base", "clarilm-sft", "clarilm"}
    assert {entry["status"] for entry in calibrations.values()} == {"fitted"}
    assert calibrations["clarilm-sft"]["score"] == 1.0
    assert calibrations["clarilm"]["auc"] >= calibrations["base"]["auc"]
    assert catalog.load("clarilm_sft_adapter").report["rows_by_origin"] == {"log": 4, "generated": 8}
    assert not any(catalog.load(f"{name}_adapter").wanted for name in ("sft_in3", "sft_ql", "sft_full"))
    assert catalog.load("clarilm_adapter").report["method"] == "dpo"
    assert not list(tmp_path.glob(".*"))


def test_every_variant_is_trained_on_its_rows(
    tiny: BaseModelSpec, sft_train: pd.DataFrame, dpo_train: pd.DataFrame, tmp_path: Path
) -> None:
    variants = EVERY.model_copy(update={"in3_rows": "published"})
    catalog = catalog_of(tiny, sft_train, dpo_train, tmp_path, variants)
    outputs = SequentialRunner().run(create_pipeline(), catalog)
    trained = {name: catalog.load(f"{name}_adapter").report for name in VARIANTS}
    of_in3 = {IN3: 5, IN3_TESTED: 1}
    assert {name: report.get("rows_by_origin") for name, report in trained.items()} == {
        "sft_in3": of_in3,
        "sft_ql": {"log": 4},
        "sft_full": {"log": 4, "generated": 8, **of_in3},
        "clarilm_sft": {"log": 4, "generated": 8},
        "clarilm": None,
    }
    assert {report["status"] for report in trained.values()} == {"trained"}
    assert set(outputs["calibrations"].load()) == {"base", "sft-in3", "sft-ql", "sft-full", "clarilm-sft", "clarilm"}


def test_in3_rows_ask_for_the_most_important_detail() -> None:
    details = [
        {"description": each, "importance": importance, "inquiry": f"Which {each}?", "options": []}
        for each, importance in (("dates", 2), ("budget", 3), ("hotel", 3))
    ]
    rows = in3_rows("Plan my trip.", "What is 2 + 2?", "Plan it.")
    rows["vague"], rows["missing_details"] = [True, False, True], [details, details, []]
    found = select_in3_rows(rows, in3(), benchmark(), BOTH)
    assert found[["asks", "text"]].to_numpy().tolist() == [[True, "Which budget?"], [False, ""], [True, ""]]
    assert set(found["origin"]) == {IN3}
    assert set(found["teacher"]) == {"IN3"}


def test_wrong_variants_are_refused() -> None:
    with pytest.raises(ValueError, match="clarilm starts from clarilm_sft"):
        VariantOptions(train=["clarilm"])
    with pytest.raises(ValueError, match="sft_in3"):
        VariantOptions.model_validate({"train": ["sft_all"]})
    given_with_spaces = VariantOptions.model_validate({"train": "sft_in3 clarilm_sft"})
    assert given_with_spaces.train == ["sft_in3", "clarilm_sft"]


def test_the_decision_and_the_text_are_what_is_learnt(tiny: BaseModelSpec, sft_train: pd.DataFrame) -> None:
    from clarilm_kedro.finetuning.decoding import SamplingOptions, sample_candidates
    from clarilm_kedro.finetuning.template import clarification_prompt

    adapter = train_variant_sft(
        "clarilm_sft", sft_train, CLEAN, tiny, ClarilmSftOptions(**options(learning_rate=2e-2, epochs=20)), IN_PROCESS
    )
    prompts = [clarification_prompt(VAGUE[0]), clarification_prompt(CLEAR[0])]
    drawn = sample_candidates(tiny, adapter.path, prompts, SamplingOptions(k=1, temperature=0.01, max_new_tokens=60))
    assert drawn == [[f"Need Clarification: Yes\n{ASK}"], [f"Need Clarification: No\n{ANSWER}"]]


def test_a_skipped_sft_skips_what_follows(
    tiny: BaseModelSpec, sft_train: pd.DataFrame, dpo_train: pd.DataFrame
) -> None:
    sft = train_variant_sft(
        "clarilm_sft",
        sft_train,
        CLEAN,
        tiny,
        ClarilmSftOptions(**options(min_examples=99, on_too_few="skip")),
        IN_PROCESS,
    )
    aligned = align_clarilm_dpo(dpo_train, sft_train, sft, tiny, ClarilmDpoOptions(**options()), IN_PROCESS, BOTH)
    assert "12 rows to train on, and at least 99" in sft.report["reason"]
    assert aligned.report["status"] == "skipped"
    assert sft.report["reason"] in aligned.report["reason"]
    calibrations = calibrate_ask_threshold(sft_train, *OTHERS, sft, aligned, tiny, CalibrationOptions(min_examples=4))
    assert calibrations["base"]["status"] == "fitted"
    for system in ("clarilm-sft", "clarilm"):
        assert calibrations[system]["status"] == "skipped"
        assert calibrations[system]["threshold"] == 0.5
        assert "was not trained" in calibrations[system]["reason"]


def test_too_few_rows_stop_the_run_where_that_is_asked_for(
    tiny: BaseModelSpec, sft_train: pd.DataFrame, dpo_train: pd.DataFrame, tmp_path: Path
) -> None:
    with pytest.raises(ClarilmError, match="at least 99 are needed"):
        train_variant_sft(
            "clarilm_sft",
            sft_train,
            CLEAN,
            tiny,
            ClarilmSftOptions(**options(min_examples=99, on_too_few="fail")),
            IN_PROCESS,
        )
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": tiny.source, "r": 8}))
    adapter = TrainedAdapter(tmp_path, {"status": "trained"})
    many = ClarilmDpoOptions(**options(min_examples=99, on_too_few="skip"))
    skipped = align_clarilm_dpo(dpo_train, sft_train, adapter, tiny, many, IN_PROCESS, BOTH)
    assert "12 preference pairs, and at least 99" in skipped.report["reason"]


def test_an_empty_table_is_too_few(tiny: BaseModelSpec, sft_train: pd.DataFrame) -> None:
    empty = sft_train.head(0)
    skipped = train_variant_sft(
        "clarilm_sft", empty, CLEAN, tiny, ClarilmSftOptions(**options(on_too_few="skip")), IN_PROCESS
    )
    assert skipped.path is None
    calibrations = calibrate_ask_threshold(empty, *OTHERS, skipped, skipped, tiny, CalibrationOptions())
    with pytest.raises(ClarilmError, match=r"clarilm-sft: The adapter was not trained"):
        calibrate_ask_threshold(empty, *OTHERS, skipped, skipped, tiny, CalibrationOptions(on_too_few="fail"))
    assert {entry["status"] for entry in calibrations.values()} == {"skipped"}


def test_booleans_from_parquet_are_understood(tiny: BaseModelSpec, sft_train: pd.DataFrame, tmp_path: Path) -> None:
    sft_train.to_parquet(tmp_path / "rows.parquet")
    rows = pd.read_parquet(tmp_path / "rows.parquet")
    assert isinstance(rows["asks"].to_numpy()[0], np.bool_)
    skipped = TrainedAdapter.skipped("x")
    again = calibrate_ask_threshold(rows, *OTHERS, skipped, skipped, tiny, CalibrationOptions(min_examples=4))
    assert again == calibrate_ask_threshold(
        sft_train, *OTHERS, skipped, skipped, tiny, CalibrationOptions(min_examples=4)
    )


@pytest.mark.parametrize(("rate", "expected"), [(None, (6, 6)), (0.5, (6, 6)), (0.25, (2, 6)), (0.75, (6, 2))])
def test_rows_are_sampled_to_the_asking_rate(
    rate: float | None, expected: tuple[int, int], sft_train: pd.DataFrame
) -> None:
    kept = sample_to_ask_rate(sft_train, rate, 7)
    assert (int(kept["asks"].sum()), int((~kept["asks"]).sum())) == expected
    mixed = sample_to_ask_rate(sft_train.sample(frac=1, random_state=1), rate, 7)
    assert set(mixed["row_id"]) == set(kept["row_id"])
    assert len(sample_to_ask_rate(sft_train[sft_train["asks"]], rate, 7)) == 6
