"""Direct answers, written or from the log."""

import ibis
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from clarilm_kedro.pipelines.ofs.answers import (
    accept_answers,
    answer_questions,
    cut_at_sentence,
    look_up_log_answers,
)
from clarilm_kedro.pipelines.ofs.schemas import AnswerOptions
from pipelines.ofs_rows import WrittenModel, questions

PROMPT = '## user\n{{ block("question", question) }}\n'
SEEDS = pd.DataFrame({"question_id": ["q0", "q1", "q2"], "session_id": ["s0", "s1", "s2"]})
SESSIONS = pd.DataFrame(
    {
        "session_id": ["s0", "s1", "s2", "s9"],
        "source": ["wildchat"] * 4,
        "first_answer": ["It is {{ so }}. And more.", " ", None, "Other."],
    }
)


def answer(options: AnswerOptions, reply: str = "Yes.") -> tuple[pd.DataFrame, pd.DataFrame, WrittenModel]:
    model = WrittenModel(lambda _: reply)
    logged = look_up_log_answers(SEEDS, ibis.memtable(SESSIONS), options)
    found, failed = answer_questions(questions(4), logged, PROMPT, model, options)
    return found.set_index("question_id"), failed, model


def test_a_model_answers_every_question_by_default() -> None:
    found, failed, model = answer(AnswerOptions())
    assert list(found["answer"]) == ["Yes."] * 4
    assert set(found["source"]) == {"generated"}
    assert set(found["teacher"]) == {"written"}
    assert found["request_key"].notna().all()
    assert failed.empty
    assert len(model.asked) == 4


def test_the_log_answers_where_it_does_and_the_model_the_rest() -> None:
    found, _, model = answer(AnswerOptions(source="log", answer_chars=50))
    assert found.loc["q0", "answer"] == "It is {{ so }}. And more."
    assert list(found["source"]) == ["log", "generated", "generated", "generated"]
    assert found.loc["q0", "teacher"] == "wildchat"
    assert pd.isna(found.loc["q0", "request_key"])
    assert [request.row_id for request in model.asked] == ["q1", "q2", "q3"]
    assert accept_answers(found.reset_index(), answer(AnswerOptions())[1], AnswerOptions()).shape[0] == 4


def test_an_empty_answer_is_rejected_with_its_row() -> None:
    found, failed, _ = answer(AnswerOptions(), reply="  ")
    assert found.empty
    assert list(failed["kind"]) == ["rejected"] * 4


def test_long_answers_end_with_a_sentence() -> None:
    assert cut_at_sentence("One. Two is longer.", 8) == "One."
    assert cut_at_sentence("no end at all", 5) == "no en"


@given(st.text(), st.integers(1, 50))
def test_a_cut_answer_is_a_beginning_of_at_most_the_limit(text: str, limit: int) -> None:
    cut = cut_at_sentence(text, limit)
    assert text.startswith(cut)
    assert len(cut) <= limit
