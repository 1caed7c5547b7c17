import random
import string
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clarilm_kedro.logs import near_duplicates
from clarilm_kedro.logs.near_duplicates import FOUND, NearDuplicateOptions, group_near_duplicates, sign_batch
from clarilm_kedro.text.minhash import choose_bands
from clarilm_kedro.text.normalise import normalise_question


def grouped(questions: dict[str, str], batch: int = 1000, **options: Any) -> pd.DataFrame:
    chosen = NearDuplicateOptions(**options)
    ids = sorted(questions)
    parts = [ids[at : at + batch] for at in range(0, len(ids), batch)]
    signed = (
        sign_batch({"session_id": part, "first_question": [questions[each] for each in part]}, chosen.permutations)
        for part in parts
    )
    return group_near_duplicates(signed, chosen)


def pairs(found: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(found["session_id"], found["near_duplicate_of"], strict=True))


LONG = "I have a dinner party for eight people on Saturday and I would like to cook something that can be made ahead"


def test_questions_that_are_nearly_equal_are_found_and_others_are_not() -> None:
    found = grouped(
        {
            "a": f"{LONG}, what do you suggest?",
            "b": f"{LONG}, what do you suggest me?",
            "c": "How do I change the oil of a car?",
            "d": f"  {LONG.upper()}, what do you suggest?  ",
            "e": "How do I change the tyre of a bicycle?",
            "f": "",
        }
    )
    assert pairs(found) == [("b", "a"), ("d", "a")]
    assert found["similarity"].tolist()[1] == 1.0
    assert 0.8 <= found["similarity"].tolist()[0] < 1
    assert found.dtypes.astype(str).to_dict() == {
        "session_id": "str",
        "near_duplicate_of": "str",
        "similarity": "float64",
    }


def test_nothing_makes_a_typed_table() -> None:
    assert grouped({}).dtypes.astype(str).to_dict() == {
        "session_id": "str",
        "near_duplicate_of": "str",
        "similarity": "float64",
    }


def test_the_first_of_a_group_is_a_near_duplicate_of_none() -> None:
    questions = {f"{number:02}": LONG + "!" * number + (" again" if number % 3 else "") for number in range(30)}
    found = grouped(questions)
    assert len(found) >= 28
    assert set(found["near_duplicate_of"]).isdisjoint(found["session_id"])
    assert (found["near_duplicate_of"] < found["session_id"]).all()


def similarity(one: str, other: str) -> float:
    """Jaccard similarity of character 5-grams, the plain way."""
    first, second = (
        {text[at : at + 5] for at in range(max(1, len(text) - 4))} for text in map(normalise_question, (one, other))
    )
    return len(first & second) / len(first | second)


def changed(chance: random.Random, text: str, words: int) -> str:
    parts = text.split()
    for at in chance.sample(range(len(parts)), words):
        parts[at] = "".join(chance.choices(string.ascii_lowercase, k=6))
    return " ".join(parts)


def random_question(chance: random.Random, words: int = 30) -> str:
    return " ".join("".join(chance.choices(string.ascii_lowercase, k=chance.randint(2, 9))) for _ in range(words))


def test_the_threshold_is_respected_and_what_lies_well_above_it_is_found() -> None:
    chance = random.Random(11)
    firsts = [random_question(chance) for _ in range(300)]
    others = [changed(chance, text, number % 8) for number, text in enumerate(firsts)]
    questions = {f"a{number:03}": text for number, text in enumerate(firsts)}
    questions |= {f"b{number:03}": text for number, text in enumerate(others)}
    found = grouped(questions, threshold=0.7, permutations=256)
    assert (found["similarity"] >= 0.7).all()
    truth = {f"b{number:03}": similarity(one, firsts[number]) for number, one in enumerate(others)}
    assert all(truth[session_id] > 0.55 for session_id in found["session_id"])
    assert all(each == "a" + session_id[1:] for session_id, each in pairs(found))
    sure = {session_id for session_id, true in truth.items() if true > 0.85}
    assert len(sure) > 50
    assert len(sure - set(found["session_id"])) <= 1
    assert len(grouped(questions, threshold=1.0)) < len(found)


@pytest.mark.parametrize("threshold", [0.001, 0.3, 0.5, 0.8, 0.99, 1.0])
@pytest.mark.parametrize("permutations", [16, 64, 256])
def test_equal_questions_are_one_group_whatever_the_bands(threshold: float, permutations: int) -> None:
    assert pairs(grouped({"a": LONG, "b": LONG}, threshold=threshold, permutations=permutations)) == [("b", "a")]


@settings(max_examples=20)
@given(st.lists(st.text("ab ", max_size=12), max_size=20), st.integers(1, 7))
def test_batches_change_nothing(texts: list[str], batch: int) -> None:
    questions = {f"{number:02}": text for number, text in enumerate(texts)}
    pd.testing.assert_frame_equal(grouped(questions, batch), grouped(questions))


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """With how many questions each one was compared that is equal to none before it."""

    class Counted(near_duplicates._Index):
        def most_similar(self, signature: np.ndarray) -> tuple[str | None, float]:
            found.append(0)
            self._signatures = self._signatures.view(Looked)
            return super().most_similar(signature)

    class Looked(np.ndarray):
        def __getitem__(self, at: Any) -> Any:
            if isinstance(at, list):
                found[-1] += len(at)
            return super().__getitem__(at)

    found: list[int] = []
    monkeypatch.setattr(near_duplicates, "_Index", Counted)
    return found


def test_thousands_of_equal_questions_are_compared_with_none(looked_at: list[int]) -> None:
    found = grouped({f"{number:04}": LONG for number in range(5000)})
    assert set(found["near_duplicate_of"]) == {"0000"}
    assert (len(found), set(found["similarity"])) == (4999, {1.0})
    assert looked_at == [0]


def test_thousands_of_questions_from_one_template_are_each_compared_with_few(looked_at: list[int]) -> None:
    chance = random.Random(3)
    template = "As a prompt generator for a generative AI called Midjourney you will create image prompts to visualize"
    found = grouped({f"{number:04}": f"{template} {random_question(chance, 3)}" for number in range(5000)})
    bands, _ = choose_bands(0.8, 64, FOUND)
    assert max(looked_at) <= 50 * bands
    assert sum(looked_at) > 50_000  # there is a crowd to compare with
    assert 0 < len(found) < 5000
