"""Votes and annotations."""

import json

import pandas as pd
import pytest

from clarilm_kedro.chat.errors import TooManyFailures
from clarilm_kedro.chat.types import ChatRequest
from clarilm_kedro.pipelines.ofs.annotation import accept_annotations, annotate_optimal_facet
from clarilm_kedro.pipelines.ofs.candidates import build_candidates
from clarilm_kedro.pipelines.ofs.schemas import AnnotationOptions
from pipelines.ofs_rows import WrittenModel, answers, facets, questions, shown

PROMPT = '## user\n{{ block("question", question) }}\n{{ block("candidates", candidates) }}\n'


def picks(facet: str) -> "WrittenModel":
    """A model that picks a facet by name wherever it stands in the list."""
    return WrittenModel(lambda request: _choose(request, facet))


def _choose(request: ChatRequest, facet: str) -> str:
    chosen = next(each["id"] for each in shown(request) if each["facet"] == facet)
    return json.dumps({"thought": f"because of {facet}", "choice": chosen})


def annotate(
    model: WrittenModel, options: AnnotationOptions, n: int = 3
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    offered = build_candidates(questions(n), facets(n, 4), answers(n), options)
    votes, failed = annotate_optimal_facet(questions(n), offered, PROMPT, model, options)
    return votes, failed, accept_annotations(votes, failed, questions(n), offered, options)


def test_the_choice_is_a_candidate_with_its_thought_and_who_made_it() -> None:
    votes, failed, found = annotate(picks("facet 2"), AnnotationOptions())
    assert failed.empty
    assert list(found["choice_id"]) == ["f2"] * 3
    assert set(found["text"]) == {"Which 2?"}
    assert set(found["thought"]) == {"because of facet 2"}
    assert list(found["votes"]) == ['{"f2": 1}'] * 3
    assert set(found["teacher"]) == {"written"}
    assert found["request_key"].notna().all()
    assert set(found["prompt_sha"].str.len()) == {64}
    assert set(votes["read_as"]) == {"json"}


def test_a_choice_by_place_shows_in_the_votes() -> None:
    """Whoever always picks the first picks what the recorded order says stood first."""
    votes, _, _ = annotate(WrittenModel(lambda _: "I choose c1."), AnnotationOptions(self_consistency=3))
    assert len(votes) == 9
    assert all(vote["choice_id"] == vote["shown"][0] for vote in votes.to_dict("records"))
    assert set(votes["read_as"]) == {"prose"}


def test_votes_are_separate_samples_over_other_orders() -> None:
    model = picks("facet 1")
    annotate(model, AnnotationOptions(self_consistency=4), n=1)
    assert [request.sample_index for request in model.asked] == [0, 1, 2, 3]
    assert len({tuple(each["facet"] for each in shown(request)) for request in model.asked}) > 1


def test_the_majority_decides_and_disagreement_is_kept() -> None:
    replies = iter(["facet 3", "facet 0", "facet 0"])
    model = WrittenModel(lambda request: _choose(request, next(replies)))
    _, _, found = annotate(model, AnnotationOptions(self_consistency=3), n=1)
    assert list(found["choice_id"]) == ["f0"]
    assert json.loads(found["votes"].iloc[0]) == {"f0": 2, "f3": 1}
    assert found["agreement"].iloc[0] == pytest.approx(2 / 3)


def test_of_a_tie_the_first_vote_decides() -> None:
    replies = iter(["facet 3", "facet 0"])
    model = WrittenModel(lambda request: _choose(request, next(replies)))
    _, _, found = annotate(model, AnnotationOptions(self_consistency=2), n=1)
    assert list(found["choice_id"]) == ["f3"]


def test_half_of_the_votes_are_too_few() -> None:
    replies = iter(["facet 3", "", "facet 3", "", "", "facet 3"])
    model = WrittenModel(lambda request: _choose(request, each) if (each := next(replies)) else "no idea")
    options = AnnotationOptions(self_consistency=3, max_failed_share=1.0)
    votes, failed, found = annotate(model, options, n=2)
    assert len(votes) == 3
    assert list(failed["row_id"]) == ["q0#1", "q1", "q1#1"]
    assert list(found["question_id"]) == ["q0"]
    assert list(found["n_votes"]) == [2]


def test_too_many_failed_calls_stop_the_run() -> None:
    with pytest.raises(TooManyFailures, match="annotations_failed"):
        annotate(WrittenModel(lambda _: "no idea"), AnnotationOptions())


def test_a_question_without_a_choice_is_named_and_costs_no_call() -> None:
    offered = build_candidates(questions(2), facets(1, 2), answers(2), AnnotationOptions())
    model = picks("facet 1")
    votes, failed = annotate_optimal_facet(questions(2), offered, PROMPT, model, AnnotationOptions())
    assert list(votes["question_id"]) == ["q0"]
    assert list(failed["row_id"]) == ["q1"]
    assert "no facet" in failed["error"].iloc[0]
    assert len(model.asked) == 1
