"""What a question could be met with."""

from clarilm_kedro.pipelines.ofs.candidates import (
    build_candidates,
    candidates_by_question,
    nothing_to_choose,
    shown_order,
)
from clarilm_kedro.pipelines.ofs.schemas import AnnotationOptions
from pipelines.ofs_rows import answers, facets, questions


def test_the_best_facets_and_the_answer_are_offered_in_a_drawn_order() -> None:
    found = build_candidates(questions(40), facets(40, 5), answers(40), AnnotationOptions(max_candidates=3))
    offered = candidates_by_question(found)
    assert len(offered) == 40
    assert all({each["candidate_id"] for each in rows} == {"answer", "f0", "f1", "f2"} for rows in offered.values())
    assert all([each["position"] for each in rows] == [1, 2, 3, 4] for rows in offered.values())
    places = found[found["candidate_id"] == "answer"]["position"]
    assert set(places) == {1, 2, 3, 4}


def test_candidates_do_not_depend_on_row_order() -> None:
    shuffled = facets(9, 4).sample(frac=1, random_state=3)
    mixed = questions(9).sample(frac=1, random_state=5)
    one = build_candidates(questions(9), facets(9, 4), answers(9), AnnotationOptions())
    assert one.equals(build_candidates(mixed, shuffled, answers(9), AnnotationOptions()))


def test_facets_and_answers_of_other_questions_are_left_out() -> None:
    found = build_candidates(questions(1), facets(3, 2), answers(3), AnnotationOptions())
    assert set(found["question_id"]) == {"q0"}


def test_every_vote_sees_another_order() -> None:
    ids = [f"f{number}" for number in range(8)]
    orders = {tuple(shown_order("q", ids, 7, vote=vote)) for vote in range(5)}
    assert len(orders) == 5
    assert shown_order("q", ids[::-1], 7, vote=2) == shown_order("q", ids, 7, vote=2)


def test_one_kind_of_candidate_is_no_choice() -> None:
    found = build_candidates(questions(2), facets(1, 2), answers(2).iloc[1:], AnnotationOptions())
    offered = candidates_by_question(found)
    assert "no direct answer" in str(nothing_to_choose(offered["q0"]))
    assert "no facet" in str(nothing_to_choose(offered["q1"]))
    assert nothing_to_choose([*offered["q0"], *offered["q1"]]) is None
