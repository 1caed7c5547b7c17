"""The evaluation pipeline: nodes on a few rows, the slice on a tiny random model, a run with nothing mined."""

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline
from kedro.runner import SequentialRunner

from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.local_system import LocalSystem
from clarilm_kedro.finetuning.results import TrainedAdapter
from clarilm_kedro.logs.records import Record, Records
from clarilm_kedro.metrics.aggregation import RESULT_COLUMNS
from clarilm_kedro.metrics.baselines import BaselineOptions
from clarilm_kedro.metrics.browser import BrowserOptions
from clarilm_kedro.metrics.categories import CategoryOptions
from clarilm_kedro.metrics.comparing import ComparisonOptions
from clarilm_kedro.metrics.curves import CurveOptions
from clarilm_kedro.metrics.report import ReportOptions
from clarilm_kedro.metrics.score_cache import ScoreCache
from clarilm_kedro.metrics.scoring import FACET_METRICS, PREDICTION_COLUMNS, QUALITY_METRICS, ScoringOptions
from clarilm_kedro.pipelines.evaluation import create_pipeline, nodes, scoring
from clarilm_kedro.pipelines.evaluation.local import predict_local
from clarilm_kedro.pipelines.evaluation.prediction import predict_bars, predictions, threshold_of
from clarilm_kedro.pipelines.evaluation.schemas import BenchmarkOptions, DecodingOptions, PromptedOptions
from clarilm_kedro.pipelines.training.rows import IN3_TESTED
from clarilm_kedro.tables import table

PARAMETERS: dict[str, Any] = {
    "params:evaluation.benchmarks": BenchmarkOptions(limit=4),
    "params:evaluation.decoding": DecodingOptions(max_new_tokens=6, batch_size=4),
    "params:evaluation.prompted": PromptedOptions(),
    "params:evaluation.baselines": BaselineOptions(),
    "params:evaluation.scoring": ScoringOptions(),
    "params:evaluation.comparison": ComparisonOptions(resamples=200),
    "params:evaluation.report": ReportOptions(),
    "params:evaluation.curves": CurveOptions(),
    "params:evaluation.categories": CategoryOptions(min_items=2),
    "params:evaluation.browser": BrowserOptions(),
}
SFT_COLUMNS = {"row_id": "str", "question": "str", "asks": "bool", "text": "str", "teacher": "str"}
OUR_TEST_COLUMNS = {
    "item_id": "str", "question": "str", "needs_clarification": "bool", "reference": "str", "references": "object",
    "facet": "str", "thought": "str",
    "teacher": "str",
}  # fmt: skip


def _sft_rows(n: int, first: int = 0) -> pd.DataFrame:
    rows = [
        {
            "row_id": f"r{i}",
            "question": f"Recommend a good film for evening {i}" if i % 2 else f"What is {i} plus {i}?",
            "asks": i % 2 == 1,
            "text": "Which genre?",
            "origin": "log",
            "teacher": "sample-teacher",
        }
        for i in range(first, first + n)
    ]
    return table(rows, SFT_COLUMNS)


def _our_test(n: int) -> pd.DataFrame:
    rows = [
        {
            "item_id": f"q{i}",
            "question": f"Recommend a good book for day {i}" if i % 2 else f"What is {i} times {i}?",
            "needs_clarification": i % 2 == 1,
            "reference": "Which genre?",
            "references": np.array(["Which genre?"] if i % 2 else [], dtype=object),
            "facet": "Genre" if i % 2 else "",
            "thought": f"Thought {i}.",
            "teacher": "sample-teacher",
        }
        for i in range(n)
    ]
    return table(rows, OUR_TEST_COLUMNS)


def _detail(inquiry: str) -> dict[str, str]:
    return {"description": "", "importance": "2", "inquiry": inquiry}


def _in3(n: int) -> Records:
    rows = [
        {
            "category": "Food",
            "task": f"Find recipe number {i}",
            "vague": i % 4 > 0,
            "missing_details": [_detail("Which dish?"), _detail("How many guests?")] if i % 4 else [],
        }
        for i in range(n)
    ]
    return Records("in3_test", [Record(i, row, "in3.jsonl") for i, row in enumerate(rows)])


def _clamber(n: int) -> Records:
    rows = [
        {
            "question": f"When was game {i}?",
            "clarifying_question": "Which game?" if i % 2 else "",
            "require_clarification": i % 2,
            "category": "FD",
            "subclass": "ICL",
        }
        for i in range(n)
    ]
    return Records("clamber", [Record(i, row, "clamber.jsonl") for i, row in enumerate(rows)])


@pytest.fixture(scope="module")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> BaseModelSpec:
    """A random two-layer LLaMA with a byte vocabulary, saved as transformers saves models."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny_base")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["<pad>", "<s>", "</s>", *alphabet])}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return BaseModelSpec(source=str(folder), chat_template="plain", dtype="float32")


@pytest.fixture(scope="module")
def tiny_adapter(tiny_base: BaseModelSpec, tmp_path_factory: pytest.TempPathFactory) -> TrainedAdapter:
    """A random LoRA adapter on the tiny base."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("tiny_adapter")
    torch.manual_seed(1)
    config = LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_base.source), config).save_pretrained(folder)
    return TrainedAdapter(folder, {"status": "trained"})


def _inputs(base: BaseModelSpec, adapter: TrainedAdapter, cache: Path, **changes: Any) -> dict[str, Any]:
    fitted = {"threshold": 0.5, "status": "fitted"}
    inputs = {
        "our_test": _our_test(6),
        "in3_test": _in3(8),
        "clamber": _clamber(8),
        "sft_train": _sft_rows(20),
        "validation": _sft_rows(8, first=20),
        "base_model": base,
        "fm_log_adapter": TrainedAdapter.skipped("3 examples are fewer than 20."),
        **{f"{name}_adapter": TrainedAdapter.not_wanted() for name in ("sft_in3", "sft_ql", "sft_full")},
        "clarilm_sft_adapter": adapter,
        "clarilm_adapter": adapter,
        "calibrations": {"base": {**fitted, "threshold": 0.45}, "clarilm-sft": fitted, "clarilm": fitted},
        "log_statistics": pd.DataFrame({"source": ["sharegpt"], "sessions": [3]}),
        "adapter_server": None,
        "score_cache": ScoreCache(cache / "scores.sqlite"),
        "zero_shot_prompt": "## user\n{{ block('question', question) }}",
        "baseline_llms": {},
        "local_systems": {},
        "given_predictions": Records(),
    }
    return {**inputs, **PARAMETERS, **changes}


class _Kept(MemoryDataset):
    """Memory that the runner does not free, so that what lies between the nodes can be looked at."""

    def _release(self) -> None:
        pass


def _run(inputs: dict[str, Any], pipeline: Pipeline | None = None) -> dict[str, Any]:
    kept = {name: _Kept() for name in _outputs()}
    catalog = DataCatalog({**{name: MemoryDataset(value) for name, value in inputs.items()}, **kept})
    SequentialRunner().run(pipeline or create_pipeline(), catalog)
    return {name: dataset.load() for name, dataset in kept.items()}


def _outputs() -> set[str]:
    return {name for node in create_pipeline().nodes for name in node.outputs}


def test_collect_benchmarks_limits_the_public_ones_only() -> None:
    broken = Records("clamber", [*_clamber(8).rows, Record(8, {"question": "x"}, "clamber.jsonl")])
    items, rejected = nodes.collect_benchmarks(_our_test(6), BenchmarkOptions(limit=4), _in3(8), broken)
    assert items.groupby("benchmark").size().to_dict() == {"our_test": 6, "in3": 4, "clamber": 4}
    assert items.loc[items["benchmark"] == "in3", "needs_clarification"].sum() == 3
    assert list(rejected["reason"]) == ["bad_label"]
    assert list(rejected["position"]) == [8]


def test_bars() -> None:
    items, _ = nodes.collect_benchmarks(_our_test(6), BenchmarkOptions(), _in3(8), _clamber(8))
    said = predict_bars(items, _sft_rows(20), _sft_rows(8, first=20), BaselineOptions())
    assert list(said.columns) == list(PREDICTION_COLUMNS)
    by_system = dict(list(said.groupby("system")))
    assert set(by_system) == {"always-ask", "never-ask", "random", "echo", "tf-idf"}
    assert by_system["always-ask"]["asked"].all()
    assert not by_system["never-ask"]["asked"].any()
    assert (by_system["never-ask"]["question"] == "").all()
    assert (by_system["random"]["p_ask"] == 0.5).all()
    learnt = by_system["tf-idf"]
    assert (learnt["asked"] == (learnt["p_ask"] >= learnt["threshold"])).all()
    ours = learnt[learnt["benchmark"] == "our_test"].merge(items, on=["benchmark", "item_id"])
    assert (ours["asked"] == ours["needs_clarification"]).all()
    shuffled = predict_bars(items.iloc[::-1], _sft_rows(20).iloc[::-1], _sft_rows(8, first=20), BaselineOptions())
    pd.testing.assert_frame_equal(said, shuffled)


def test_bars_without_training_rows() -> None:
    items, _ = nodes.collect_benchmarks(_our_test(4), BenchmarkOptions(), Records(), Records())
    said = predict_bars(items, _sft_rows(0), _sft_rows(0), BaselineOptions())
    assert set(said["system"]) == {"always-ask", "never-ask", "random", "echo"}
    assert (said.loc[said["system"] == "random", "p_ask"] == 0.5).all()


def test_threshold() -> None:
    assert threshold_of("base", {"base": {"threshold": 0.2}}) == 0.2
    assert threshold_of("base", {"base": {"threshold": None}}) == 0.5
    assert threshold_of("clarilm", {}) == 0.5


def test_skipped_adapter_predicts_nothing(tiny_base: BaseModelSpec) -> None:
    items, _ = nodes.collect_benchmarks(_our_test(4), BenchmarkOptions(), Records(), Records())
    skipped = TrainedAdapter.skipped("too few")
    said = nodes.predict_node("clarilm")(tiny_base, skipped, {}, items, DecodingOptions())
    assert said.empty
    assert list(said.columns) == list(PREDICTION_COLUMNS)
    assert nodes.predict_base(tiny_base, {}, items.iloc[:0], DecodingOptions()).empty


def test_merge_orders_and_keeps_types() -> None:
    items, _ = nodes.collect_benchmarks(_our_test(4), BenchmarkOptions(), Records(), Records())
    said = predict_bars(items, _sft_rows(20), _sft_rows(8, first=20), BaselineOptions())
    some = said["system"] < "e"
    merged = nodes.merge_predictions(predictions([]), said[~some], said[some], predictions([]))
    pd.testing.assert_frame_equal(merged, said)


def test_what_was_skipped_is_explained() -> None:
    items, _ = nodes.collect_benchmarks(_our_test(4), BenchmarkOptions(), _in3(4), Records())
    skipped = TrainedAdapter.skipped("3 examples are fewer than 20.")
    trained = TrainedAdapter(Path("somewhere"), {"status": "trained"})
    calibrations = {
        "base": {"status": "skipped", "reason": "Too few rows.", "threshold": 0.5},
        "x": {"status": "fitted"},
    }
    leaking = TrainedAdapter(Path("somewhere"), {"status": "trained", "rows_by_origin": {IN3_TESTED: 42}})
    unwanted = TrainedAdapter.not_wanted()
    told = nodes.explain_skipped(
        items, _sft_rows(1), skipped, leaking, unwanted, unwanted, trained, skipped, calibrations
    )
    assert told == [
        {"what": "CLAMBER", "reason": "It has no items."},
        {"what": "FM-LOG", "reason": "3 examples are fewer than 20."},
        {
            "what": "cleaning of sft-in3's rows",
            "reason": "42 of its training rows are test questions: IN3's training split was taken as published.",
        },
        {"what": "clarilm", "reason": "3 examples are fewer than 20."},
        {"what": "tf-idf", "reason": "Its 1 training rows do not hold both labels."},
        {"what": "threshold of base", "reason": "Too few rows. 0.5 is used."},
    ]


def test_whole_slice(tiny_base: BaseModelSpec, tiny_adapter: TrainedAdapter, tmp_path: Path) -> None:
    out = _run(_inputs(tiny_base, tiny_adapter, tmp_path))
    results = out["results_table"]
    assert tuple(results.columns) == RESULT_COLUMNS
    assert list(results["benchmark"].unique()) == ["our_test", "in3", "clamber"]
    systems = ["always-ask", "never-ask", "random", "echo", "tf-idf", "base", "clarilm-sft", "clarilm"]
    assert list(results["system"]) == systems * 3
    teachers = dict(zip(results["system"], results["teacher"], strict=True))
    assert [teachers[name] for name in ("always-ask", "base", "tf-idf", "clarilm")] == [
        "none",
        "none",
        *["sample-teacher"] * 2,
    ]

    said = out["predictions"]
    assert said.groupby("system").size().to_dict() == dict.fromkeys(systems, 14)
    base = said[said["system"] == "base"]
    assert (base["asked"] == (base["p_ask"] >= 0.45)).all()
    assert (base["threshold"] == 0.45).all()
    assert base["p_ask"].between(0, 1).all()
    clarilm = said[said["system"] == "clarilm"]
    assert not np.allclose(base["p_ask"], clarilm["p_ask"])  # the adapter is in use
    assert (said.loc[~said["asked"], "question"] == "").all()

    assert set(out["row_scores"]["metric"]) == {"correct", *QUALITY_METRICS, *FACET_METRICS}
    assert len(out["comparison_matrix"]) == 3 * 8 * 7 / 2
    assert set(out["category_results"]["benchmark"]) == {"in3", "clamber"}
    assert "coin at its ask rate" in set(out["comparisons"]["other"])
    assert out["skipped_stages"] == [{"what": "FM-LOG", "reason": "3 examples are fewer than 20."}]
    assert "| clarilm " in out["results_markdown"]
    assert "say nothing about real questions" in out["report"]
    assert "3 examples are fewer than 20." in out["report"]
    assert out["report"].count('class="example"') == 14
    _parse(out["report"])
    _parse(out["results_html"])
    for name in ("figures_page", "examples_browser"):
        _parse(out[name])
    drawn = out["decision_summary"].set_index(["benchmark", "system"])["status"]
    assert drawn["in3", "clarilm"] == "drawn"
    assert drawn["in3", "always-ask"] == "skipped"
    assert set(out["decision_curves"]["system"]) == {"tf-idf", "base", "clarilm-sft", "clarilm"}
    assert out["ask_rate_figure"].data
    assert r"\begin{table*}" in out["results_latex"]
    assert "F1+" in out["results_paper_view"]
    assert "Thought 1." in out["examples_browser"]


def test_nothing_mined_still_gives_the_bars_and_the_base(tiny_base: BaseModelSpec, tmp_path: Path) -> None:
    skipped = TrainedAdapter.skipped("0 rows are fewer than 20.")
    out = _run(
        _inputs(
            tiny_base,
            skipped,
            tmp_path,
            our_test=_our_test(0),
            sft_train=_sft_rows(0),
            validation=_sft_rows(0),
            calibrations={"base": {"status": "skipped", "threshold": 0.5}},
            log_statistics=pd.DataFrame(),
        )
    )
    results = out["results_table"]
    assert list(results["system"]) == ["always-ask", "never-ask", "random", "echo", "base"] * 2
    assert set(results["teacher"]) == {"none"}
    assert set(out["comparisons"]["system"]) == {"base"}
    assert {each["what"] for each in out["skipped_stages"]} == {
        "Our-test", "FM-LOG", "clarilm-sft", "clarilm", "tf-idf", "threshold of base",
    }  # fmt: skip
    assert "there is no teacher to name" in out["report"]


def test_further_local_systems_and_draws(
    tiny_base: BaseModelSpec, tiny_adapter: TrainedAdapter, tmp_path: Path
) -> None:
    """Drawn as in the paper: every model of this machine three times, the bars once; a system by the long prompt."""
    drawn = DecodingOptions(max_new_tokens=6, temperature=0.5, top_p=0.9, draws=3, decision="sampled")
    systems = {
        "mine": LocalSystem(model=tiny_base, adapter=tiny_adapter.path),
        "by-prompt": LocalSystem(model=tiny_base, prompt="zero_shot", threshold=0.2),
    }
    inputs = _inputs(tiny_base, tiny_adapter, tmp_path, local_systems=systems)
    out = _run({**inputs, "params:evaluation.decoding": drawn})
    said = out["predictions"]
    bars = ("always-ask", "never-ask", "random", "echo", "tf-idf")
    draws = {**dict.fromkeys(bars, 1), **dict.fromkeys(systems, 3)}
    assert said.groupby("system")["seed"].nunique().to_dict() == {
        **draws, "base": 3, "clarilm": 3, "clarilm-sft": 3,
    }  # fmt: skip
    mine, clarilm = (said[said["system"] == name].reset_index() for name in ("mine", "clarilm"))
    assert mine["p_ask"].tolist() == pytest.approx(clarilm["p_ask"].tolist())  # the same adapter by the same prompt
    assert mine["threshold"].isna().all()
    by_prompt = said[said["system"] == "by-prompt"]
    assert not np.allclose(by_prompt["p_ask"], said.loc[said["system"] == "base", "p_ask"])
    assert set(systems) <= set(out["results_table"]["system"])

    held = predict_local(
        systems, inputs["zero_shot_prompt"], out["benchmarks"], PARAMETERS["params:evaluation.decoding"]
    )
    chosen = held[held["system"] == "by-prompt"]
    assert (chosen["asked"] == (chosen["p_ask"] >= 0.2)).all()
    assert set(chosen["threshold"]) == {0.2}


def test_no_benchmark_at_all(tiny_base: BaseModelSpec, tmp_path: Path) -> None:
    skipped = TrainedAdapter.skipped("0 rows are fewer than 20.")
    none = {"our_test": _our_test(0), "in3_test": Records(), "clamber": Records()}
    out = _run(_inputs(tiny_base, skipped, tmp_path, **none))
    assert out["results_table"].empty
    assert out["decision_summary"].empty
    assert "No item was decided." in out["figures_page"]
    _parse(out["examples_browser"])
    assert "nothing to score" in out["results_markdown"]
    assert "nothing to score" in out["report"]


def test_tables_survive_parquet(tiny_base: BaseModelSpec, tmp_path: Path) -> None:
    skipped = TrainedAdapter.skipped("0 rows are fewer than 20.")
    out = _run(_inputs(tiny_base, skipped, tmp_path))
    reloaded = {}
    for name in (
        "benchmarks",
        "predictions",
        "row_scores",
        "results_table",
        "comparisons",
        "comparison_matrix",
        "quality_floors",
    ):
        out[name].to_parquet(tmp_path / f"{name}.parquet", index=False)
        reloaded[name] = pd.read_parquet(tmp_path / f"{name}.parquet")
    cache = ScoreCache(tmp_path / "scores.sqlite")
    scores = scoring.score_rows(reloaded["benchmarks"], reloaded["predictions"], cache, ScoringOptions())
    pd.testing.assert_frame_equal(scores, reloaded["row_scores"])
    results = scoring.build_results_table(
        scores, reloaded["predictions"], _sft_rows(20), ScoringOptions(), ComparisonOptions(resamples=200)
    )
    pd.testing.assert_frame_equal(results, reloaded["results_table"])
    page = nodes.write_report(
        reloaded["results_table"],
        reloaded["comparisons"],
        reloaded["quality_floors"],
        reloaded["benchmarks"],
        reloaded["predictions"],
        pd.DataFrame({"source": ["sharegpt"], "sessions": [3]}),
        out["skipped_stages"],
        ReportOptions(),
    )
    assert page == out["report"]


def test_every_option_stands_in_the_configuration(project: Path) -> None:
    text = (project / "conf" / "base" / "evaluation" / "parameters.yml").read_text(encoding="utf-8")
    given = yaml.safe_load(text)["evaluation"]
    for name, value in PARAMETERS.items():
        assert set(given[name.rpartition(".")[2]]) == set(type(value).model_fields), name
    assert set(given["scoring"]["bertscore"]) == set(type(ScoringOptions().bertscore).model_fields)


def test_every_output_stands_in_the_catalog(project: Path) -> None:
    text = (project / "conf" / "base" / "evaluation" / "catalog.yml").read_text(encoding="utf-8")
    entries = {name: entry for name, entry in yaml.safe_load(text).items() if not name.startswith("_")}
    assert set(entries) == _outputs() | {"benchmark_{name}", "given_predictions", "local_systems", "score_cache"}
    assert all(entry["metadata"]["description"] for entry in entries.values())
    assert all(entry["metadata"]["kedro-viz"]["layer"] for entry in entries.values())


def _parse(page: str) -> None:
    HTMLParser().feed(page)
    assert page.startswith("<!doctype html>")
