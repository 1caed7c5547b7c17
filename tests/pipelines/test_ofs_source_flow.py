"""What becomes of candidates, by source."""

import pandas as pd

from clarilm_kedro.pipelines.ofs.source_flow import SOURCE_FLOW, count_source_flow, draw_source_flow


def _facets(*rows: tuple[str, list[str]]) -> pd.DataFrame:
    return pd.DataFrame([{"question_id": question, "sources": sources} for question, sources in rows])


def _flow() -> pd.DataFrame:
    facets = _facets(("q1", ["log"]), ("q1", ["llm"]), ("q1", ["llm"]), ("q1", ["log", "llm"]), ("q9", ["llm"]))
    shown = [("q1", "a", ["log"]), ("q1", "b", ["llm"]), ("q1", "c", ["log", "llm"]), ("q1", "answer", ["answer"])]
    candidates = pd.DataFrame(
        [{"question_id": q, "candidate_id": c, "sources": s} for q, c, s in [*shown, ("q9", "x", ["llm"])]]
    )
    annotations = pd.DataFrame([{"question_id": "q1", "choice_id": "c"}])
    preferences = pd.DataFrame([{"question_id": "q1", "rejected_id": each} for each in ("answer", "b")])
    return count_source_flow(facets, candidates, annotations, preferences)


def test_every_candidate_of_an_annotated_question_is_followed_to_its_end() -> None:
    flow = {(row["source"], row["target"]): row["n"] for row in _flow().to_dict("records")}
    assert flow == {
        ("FM-LOG", "FM-LOG, shown"): 1,
        ("FM-LOG, shown", "in no pair"): 1,
        ("FM-LLM", "FM-LLM, shown"): 1,
        ("FM-LLM", "over the limit"): 1,
        ("FM-LLM, shown", "rejected (r-)"): 1,
        ("FM-LOG and FM-LLM", "FM-LOG and FM-LLM, shown"): 1,
        ("FM-LOG and FM-LLM, shown", "chosen (r+)"): 1,
        ("direct answer", "direct answer, shown"): 1,
        ("direct answer, shown", "rejected (r-)"): 1,
    }


def test_what_is_shown_goes_on() -> None:
    flow = _flow()
    arriving = flow[flow["target"].str.endswith(", shown")].groupby("target")["n"].sum()
    leaving = flow[flow["source"].str.endswith(", shown")].groupby("source")["n"].sum()
    assert arriving.to_dict() == leaving.to_dict()


def test_the_sankey_has_a_link_per_row() -> None:
    flow = _flow()
    drawn = draw_source_flow(flow).data[0]
    assert list(drawn.link.value) == flow["n"].tolist()
    assert "FM-LLM: 2" in drawn.node.label
    assert "chosen (r+): 1" in drawn.node.label


def test_nothing_annotated() -> None:
    nothing = pd.DataFrame(columns=["question_id", "candidate_id", "sources", "choice_id", "rejected_id"])
    flow = count_source_flow(nothing, nothing, nothing, nothing)
    assert flow.empty
    assert list(flow.columns) == list(SOURCE_FLOW)
    assert "No question was annotated" in draw_source_flow(flow).layout.annotations[0].text
