"""In-context examples and IN3's training rows, free of what is tested."""

from collections import Counter
from pathlib import Path

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from clarilm_kedro.logs.reading import read_records
from clarilm_kedro.logs.records import Records
from clarilm_kedro.pipelines.dropping import LEAK, NEAR
from clarilm_kedro.pipelines.held_out import LeakageOptions, collect_benchmark_questions
from clarilm_kedro.pipelines.ofs import create_pipeline
from clarilm_kedro.pipelines.ofs.examples import clean_in3_train, collect_examples
from clarilm_kedro.pipelines.ofs.schemas import SynthesisOptions
from clarilm_kedro.text.similarity import NearDuplicateRule
from pipelines.question_rows import (
    LEAKAGE,
    LEXICAL,
    NO_RECORDS,
    benchmark,
    clamber,
    in3,
    in3_rows,
    judged,
    recorded,
    seeds,
)

OIL = "How do I change the oil of my old car?"


def test_in3_train_loses_test_tasks_held_out_questions_and_its_own_repetitions() -> None:
    given = in3("Plan my trip.", "Fix my bike, please do.", "fix my bike please do", OIL, "Write a poem on rivers.")
    clean, dropped, leaks = clean_in3_train(
        given, benchmark(in3="plan my trip"), seeds(judged(OIL, split="test"), judged("Write a poem")), LEAKAGE, LEXICAL
    )
    assert len(clean) + len(dropped) == 5
    assert "Write a poem on rivers." in set(clean["question"])
    assert Counter(dropped["reason"]) == {LEAK: 2, NEAR: 1}
    assert Counter(leaks["test_set"]) == {"in3": 1, "our_test": 1}
    repeated = dropped[dropped["reason"] == NEAR].iloc[0]
    assert repeated["other_id"] in set(clean["row_id"])


def test_missing_details_are_kept() -> None:
    detail = {"description": "when", "importance": "3", "inquiry": "When?", "options": ["May"]}
    task = {"task": "Plan my trip.", "vague": True, "missing_details": [detail]}
    clean, _, _ = clean_in3_train(recorded(task), benchmark(), seeds(), LEAKAGE, LEXICAL)
    assert clean.loc[0, "missing_details"] == [{**detail, "importance": 3}]
    assert clean.loc[0, "row_id"] == "in3_train-0"


def collected(clamber_weight: float = 0) -> tuple[set[str], dict[tuple[str, str], str]]:
    weights = {**SynthesisOptions().example_weights, "clamber": clamber_weight}
    found, leaks = collect_examples(
        seeds(judged("Where is my hotel?"), judged(OIL, split="test"), judged("Is it far away?", split="valid")),
        recorded({"question": "Who won the cup?"}),
        recorded({"question": "who wrote it"}, {"question": "how do i change the oil of my car"}),
        NO_RECORDS,
        in3_rows("Fix my bike."),
        clamber("who won the cup", "Who lost?"),
        benchmark(clamber="who won the cup", in3="Plan my trip."),
        SynthesisOptions(example_weights=weights),
        LEAKAGE,
    )
    said = {(row.train_text, row.test_set): row.action for row in leaks.itertuples()}
    return set(found["question"]), said


def test_no_held_out_and_no_benchmark_question_is_an_example() -> None:
    found, leaks = collected()
    assert found == {"Where is my hotel?", "who wrote it", "Fix my bike."}
    assert leaks == {
        ("Who won the cup?", "clamber"): "dropped",
        ("how do i change the oil of my car", "our_test"): "dropped",
    }


def test_the_papers_mix_lets_clamber_in_and_says_so() -> None:
    found, leaks = collected(clamber_weight=1)
    assert found - collected()[0] == {"Who won the cup?", "who won the cup", "Who lost?"}
    assert leaks[("who won the cup", "clamber")] == "allowed"
    assert leaks[("how do i change the oil of my car", "our_test")] == "dropped"


def test_a_slice_of_the_pipeline_cleans_in3_before_it_is_shown() -> None:
    wanted = ("clean_in3_train", "collect_examples")
    given = {
        "benchmark_questions": collect_benchmark_questions(in3("plan my trip"), clamber("Who won the cup?")),
        "clamber": clamber("Who won the cup?"),
        "in3_train": in3("Plan my trip.", "Fix my bike."),
        "ambigqa": recorded({"question": "who won the cup"}),
        "natural_questions": NO_RECORDS,
        "popqa": NO_RECORDS,
        "seed_questions": seeds(judged("Where is my hotel?")),
        "params:ofs.leakage": LEAKAGE,
        "params:ofs.deduplication": LEXICAL,
        "params:ofs.synthesis": SynthesisOptions(),
    }
    catalog = DataCatalog({name: MemoryDataset(value) for name, value in given.items()})
    found = SequentialRunner().run(create_pipeline().only_nodes(*wanted), catalog)
    assert set(found["in_context_examples"].load()["question"]) == {"Fix my bike.", "Where is my hotel?"}
    assert list(found["in3_train_dropped"].load()["other_id"]) == ["in3-0"]
    assert list(found["example_leaks"].load()["test_id"]) == ["clamber-0"]


def real(folder: Path, path: str, form: str = "auto") -> Records:
    return read_records(str(folder / path), "x", form)


@pytest.mark.real_data
def test_the_published_sets(real_data: Path) -> None:
    tests = collect_benchmark_questions(
        real(real_data, "in3/test.jsonl"), real(real_data, "clamber/clamber_sample.jsonl", "json_in_jsonl")
    )
    in3_train = real(real_data, "in3/train.jsonl")
    clean, dropped, leaks = clean_in3_train(in3_train, tests, seeds(), LeakageOptions(), NearDuplicateRule())
    assert len(clean) + len(dropped) == 1261
    assert Counter(leaks["method"])["exact_normalised"] == 42
    assert Counter(dropped["reason"])[LEAK] == 44
    assert Counter(dropped["reason"])[NEAR] >= 2
    ambigqa = real(real_data, "questions/ambignq_dev_light.json")
    found, leaks = collect_examples(
        seeds(), ambigqa, NO_RECORDS, NO_RECORDS, clean, NO_RECORDS, tests, SynthesisOptions(), LeakageOptions()
    )
    exact = leaks[leaks["method"] == "exact_normalised"]
    assert set(exact["test_set"]) == {"clamber"}
    assert exact["train_id"].nunique() == 19
    assert leaks.loc[leaks["action"] == "dropped", "train_id"].nunique() >= 34
    assert set(found["example_id"]).isdisjoint(leaks.loc[leaks["action"] == "dropped", "train_id"])
