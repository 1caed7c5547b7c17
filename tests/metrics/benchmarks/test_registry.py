"""A benchmark is one file and its input: found, read through the catalog's pattern, in the one shape."""

import sys
from pathlib import Path

import pytest
from kedro.io import DataCatalog, DatasetError

from clarilm_kedro.config import ChainedConfigLoader
from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.metrics import benchmarks
from clarilm_kedro.metrics.benchmarks.registry import benchmark_titles, published_benchmarks
from clarilm_kedro.pipelines.evaluation import create_pipeline, nodes
from clarilm_kedro.pipelines.evaluation.schemas import BenchmarkOptions
from clarilm_kedro.tables import table

FILE = """
from clarilm_kedro.metrics.benchmarks.shape import Benchmark, Content, required_label, required_text


def parse_mine(data):
    return Content(required_text(data, "q"), required_label(data, "ask"), (), context=data.get("before", ""))


BENCHMARK = Benchmark("{name}", "My own", parse_mine)
"""
OUR_TEST = table(
    [], {"item_id": "str", "question": "str", "needs_clarification": "bool", "references": "object", "facet": "str"}
)


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(benchmarks, "__path__", [*benchmarks.__path__, str(tmp_path)])

    def write(name: str) -> None:
        monkeypatch.delitem(sys.modules, f"{benchmarks.__name__}.a_new_one", raising=False)
        (tmp_path / "a_new_one.py").write_text(FILE.format(name=name))

    yield write
    sys.modules.pop(f"{benchmarks.__name__}.a_new_one", None)


def test_the_papers_come_first_and_in_its_order() -> None:
    assert list(benchmark_titles()) == ["our_test", "in3", "clamber"]


def test_a_new_file_is_a_benchmark(add, project: Path, tmp_path: Path) -> None:
    add("a_mine")
    assert list(benchmark_titles().items())[-1] == ("a_mine", "My own")
    assert "benchmark_a_mine" in create_pipeline().inputs()

    rows = tmp_path / "mine.jsonl"
    rows.write_text(
        '{"q": "Plan my trip.", "ask": 1}\n{"q": " ", "ask": 0}\n{"q": "2 + 2?", "ask": 0, "before": "Hi."}\n'
    )
    loader = ChainedConfigLoader(
        project / "conf", base_env="base", default_run_env="local", runtime_params={"inputs": {"clamber": str(rows)}}
    )
    entry = loader["catalog"]["benchmark_{name}"]
    entry["inputs"]["a_mine"] = entry["inputs"]["clamber"]
    catalog = DataCatalog.from_config({"benchmark_{name}": entry})
    published = [
        catalog.load("benchmark_a_mine") if each.name == "a_mine" else type(catalog.load("benchmark_a_mine"))()
        for each in published_benchmarks()
    ]
    items, rejected = nodes.collect_benchmarks(OUR_TEST, BenchmarkOptions(), *published)
    assert items[["benchmark", "item_id", "needs_clarification", "context"]].values.tolist() == [
        ["a_mine", "a_mine-0", True, ""],
        ["a_mine", "a_mine-2", False, "Hi."],
    ]
    assert rejected[["benchmark", "position", "reason"]].values.tolist() == [["a_mine", 1, "no_question"]]


def test_a_benchmark_without_its_input_says_what_to_add(project: Path) -> None:
    loader = ChainedConfigLoader(project / "conf", base_env="base", default_run_env="local")
    catalog = DataCatalog.from_config({"benchmark_{name}": loader["catalog"]["benchmark_{name}"]})
    with pytest.raises(DatasetError, match=r"no inputs\.unheard: add it"):
        catalog.load("benchmark_unheard")


def test_two_of_a_name_are_refused(add) -> None:
    add("in3")
    with pytest.raises(ClarilmError, match="Two benchmarks are called 'in3'"):
        published_benchmarks()
