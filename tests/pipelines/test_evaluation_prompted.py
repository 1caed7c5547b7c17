"""Chat endpoints as evaluated systems: the functions, the slice on a server with faults and on the scripted teacher."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from chat.fault_server import Act, FaultServer, Seen, completion, fails, says
from clarilm_kedro.chat.endpoint import ChatEndpoint
from clarilm_kedro.chat.errors import TooManyFailures
from clarilm_kedro.chat.logprobs import TokenChoice
from clarilm_kedro.chat.options import ChatEndpointOptions
from clarilm_kedro.datasets.chat_endpoint import close_chat_models
from clarilm_kedro.datasets.chat_endpoints import ChatEndpointsDataset
from clarilm_kedro.logs.records import Record, Records
from clarilm_kedro.metrics.benchmarks.in3 import parse_in3
from clarilm_kedro.metrics.benchmarks.shape import items_frame, read_rows
from clarilm_kedro.metrics.scoring import PREDICTION_COLUMNS, check_complete
from clarilm_kedro.pipelines.evaluation import create_pipeline
from clarilm_kedro.pipelines.evaluation.prompted import (
    PROMPTED_FAILED,
    PROMPTED_REPLIES,
    accept_prompted,
    predict_prompted,
    probability_of_asking,
    read_decision,
)
from clarilm_kedro.pipelines.evaluation.schemas import DecodingOptions, PromptedOptions

YES, NO = "Need Clarification: Yes", "Need Clarification: No"
DRAWN = DecodingOptions(temperature=0.5, draws=3)


@pytest.fixture(scope="module")
def prompt(project: Path) -> str:
    return (project / "src/clarilm_kedro/prompts/zero_shot.jinja").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _closed():
    yield
    close_chat_models()


def items(*questions: str, context: str = "") -> pd.DataFrame:
    return items_frame(
        [
            {
                "benchmark": "in3",
                "item_id": f"in3-{number}",
                "question": question,
                "context": context,
                "needs_clarification": False,
                "references": [],
                "category": "",
                "subclass": "",
            }
            for number, question in enumerate(questions)
        ]
    )


def model(url: str, folder: Path, name: str = "m", **options: Any) -> ChatEndpoint:
    chosen = ChatEndpointOptions(model=name, base_url=url, store=folder / "r.sqlite", **{"max_attempts": 1, **options})
    return ChatEndpoint(chosen, first_pause=0.01)


@pytest.mark.parametrize(
    ("reply", "asks", "text"),
    [
        (f"{YES}\nWhich day?", True, "Which day?"),
        (f"**{YES}**\n\nWhich *day*?", True, "Which *day*?"),
        ("**Need Clarification:** no.\nIt is **4**.", False, "It is **4**."),
        (f"# {NO}", False, ""),
        (f"{YES} Which day?", None, f"{YES} Which day?"),
        (f"Sure!\n{YES}\nWhich day?", None, f"Sure!\n{YES}\nWhich day?"),
        ("**Which** day?", None, "**Which** day?"),
        ("", None, ""),
    ],
)
def test_a_reply_is_read_by_its_first_line(reply: str, asks: bool | None, text: str) -> None:
    assert tuple(read_decision(reply)) == (asks, text)


def tokens(*written: str, **alternatives: float) -> list[TokenChoice]:
    *before, last = written
    return [TokenChoice(each, {each: 0.0}) for each in before] + [TokenChoice(last, alternatives)]


def test_p_ask_is_the_share_of_yes_among_yes_and_no() -> None:
    where = ("Need", " Clarification", ":")
    found = probability_of_asking(tokens(*where, " Yes", **{" Yes": -1.0, " No": -1.0, "Yes": -3.0, " Maybe": -0.1}))
    one, other = 2.718281828**-1 + 2.718281828**-3, 2.718281828**-1
    assert found == pytest.approx(one / (one + other))
    marked = tokens("**", *where, "**", " ", "No", **{"No": 0.0, "yes": -9999.0})
    assert probability_of_asking(marked) == pytest.approx(0.0)
    assert probability_of_asking(tokens(*where, " Hm", **{" Hm": 0.0})) is None
    assert probability_of_asking(tokens("<think>", *where, " Yes", **{" Yes": 0.0})) is None
    assert probability_of_asking(None) is None


def test_every_item_and_draw_has_its_prediction_whatever_happens(tmp_path: Path, prompt: str) -> None:
    def script(seen: Seen) -> Act:
        if "broken" in seen.last:
            return fails(400, "too long")
        if "thinks" in seen.last:
            return says(f"<think>{YES}?</think>\n{NO}\nIt is 4.", finish_reason="length")
        if "silent" in seen.last:
            return says("")
        if "prose" in seen.last:
            return says("I would ask which day.")
        return says(f"{YES if seen.body.get('seed', 1) % 3 else NO}\nWhich day?")

    asked = items("Plan it.", "It thinks.", "broken one", "silent one", "in prose", context="Hi.")
    with FaultServer(script) as server:
        llms = {"one": model(server.url, tmp_path, seed=3, max_tokens=50), "two": model(server.url, tmp_path, "m-2")}
        replies, failed = predict_prompted(asked.iloc[:1], prompt, {"one": llms["one"]}, DRAWN)
        assert sorted(seen.body["seed"] for seen in server.seen) == [3, 4, 5]
        assert "What was said before:\n<context>\nHi.\n</context>" in server.seen[0].last
        replies, failed = predict_prompted(asked, prompt, llms, DRAWN)
    assert list(replies.columns) == list(PROMPTED_REPLIES)
    assert list(failed.columns) == list(PROMPTED_FAILED)
    assert len(replies) == 2 * 3 * 5
    kinds = failed.groupby(["system", "item_id"])["kind"].agg(["first", "size"])
    assert kinds.values.tolist() == [["bad_request", 3], ["empty", 3], ["rejected", 3]] * 2

    found = accept_prompted(replies, failed, PromptedOptions(max_failed_share=0.4))
    assert list(found.columns) == list(PREDICTION_COLUMNS)
    check_complete(asked, found)
    one = found[found["system"] == "one"].set_index(["item_id", "seed"])
    assert one.loc["in3-0", "asked"].tolist() == [False, True, True]
    assert one.loc["in3-0", "p_ask"].tolist() == [pytest.approx(2 / 3)] * 3
    assert one.loc["in3-0", "question"].tolist() == ["", "Which day?", "Which day?"]
    assert one.loc[("in3-1", 0), ["text", "asked", "parsed"]].tolist() == ["It is 4.", False, True]
    for item in ("in3-2", "in3-3", "in3-4"):
        assert not one.loc[item, "parsed"].any()
        assert not one.loc[item, "asked"].any()
        assert one.loc[item, "p_ask"].isna().all()
    assert one.loc[("in3-4", 0), "text"] == "I would ask which day."


def test_one_bad_system_is_not_hidden_among_good_ones(tmp_path: Path, prompt: str) -> None:
    with FaultServer(lambda seen: fails(400, "no") if seen.body["model"] == "bad" else says(NO)) as server:
        llms = {name: model(server.url, tmp_path, name) for name in ("bad", "good", "better", "best")}
        replies, failed = predict_prompted(items("a", "b"), prompt, llms, DecodingOptions())
    with pytest.raises(TooManyFailures, match=r"zero_shot \(bad\): 2 of 2 rows failed.*prompted_predictions_failed"):
        accept_prompted(replies, failed, PromptedOptions(max_failed_share=0.3))
    good = replies["system"] != "bad"
    accepted = accept_prompted(replies[good], failed.iloc[:0], PromptedOptions())
    assert set(accepted["system"]) == {"good", "better", "best"}
    assert accepted["p_ask"].isna().all(), "one draw without log-probabilities has no P(ask)"


def test_log_probabilities_go_before_shares(tmp_path: Path, prompt: str) -> None:
    body = json.loads(completion(f"{NO}\nIt is 4."))
    written = [("Need Clarification:", -0.1), (" No", -0.1)]
    body["choices"][0]["logprobs"] = {
        "content": [
            {"token": token, "logprob": value, "top_logprobs": [{"token": " Yes", "logprob": -1.5}]}
            for token, value in written
        ]
    }
    with FaultServer(lambda _: Act(json.dumps(body).encode())) as server:
        llms = {"m": model(server.url, tmp_path, logprobs=True, seed=1)}
        found = accept_prompted(*predict_prompted(items("a"), prompt, llms, DRAWN), PromptedOptions())
    assert found["p_ask"].tolist() == [pytest.approx(1 / (1 + 2.718281828**1.4))] * 3


def test_no_systems_are_no_rows(prompt: str) -> None:
    replies, failed = predict_prompted(items("a"), prompt, {}, DecodingOptions())
    assert accept_prompted(replies, failed, PromptedOptions()).empty
    assert list(accept_prompted(replies, failed, PromptedOptions()).columns) == list(PREDICTION_COLUMNS)


def test_the_slice_asks_the_scripted_teacher(project: Path, tmp_path: Path, prompt: str) -> None:
    """Scripted from the gold labels of the sample world, so it decides right on every task of its IN3."""
    lines = (project / "data/01_raw/sample/in3_test.jsonl").read_text(encoding="utf-8").splitlines()[:12]
    given = Records("in3_test", [Record(number, json.loads(line), "in3.jsonl") for number, line in enumerate(lines)])
    benchmarks, _ = read_rows("in3", given, parse_in3)
    endpoints = ChatEndpointsDataset(
        endpoints={
            "scripted": {"model": "sample-teacher", "server": {"kind": "sample", "world_dir": "data/01_raw/sample"}}
        },
        store=str(tmp_path / "r.sqlite"),
    )
    catalog = DataCatalog(
        {
            "benchmarks": MemoryDataset(benchmarks),
            "zero_shot_prompt": MemoryDataset(prompt),
            "baseline_llms": endpoints,
            "params:evaluation.decoding": MemoryDataset(DecodingOptions()),
            "params:evaluation.prompted": MemoryDataset(PromptedOptions()),
        }
    )
    pipeline = create_pipeline().filter(node_names=["predict_prompted", "accept_prompted"])
    found = SequentialRunner().run(pipeline, catalog)["prompted_predictions"].load()
    both = found.merge(benchmarks, on=["benchmark", "item_id"])
    assert len(both) == 12
    assert both["parsed"].all()
    assert (both["asked"] == both["needs_clarification"]).all()
    assert all(row["question_x"] in row["references"] for _, row in both[both["asked"]].iterrows())
