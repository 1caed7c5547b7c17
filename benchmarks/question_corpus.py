"""Questions in any number, made of published ones: some as they are, most recombined, some reworded.

A recombined question has the first words of one published question and the last words of another, so that character
n-grams are as frequent as in real questions, templates ("What is ...'s occupation?") among them. A reworded one repeats
an earlier question with a lead-in, a courtesy, a word left out, a word exchanged or a slip of the keyboard: those are
the near-duplicates.
"""

import random
from collections.abc import Iterator
from pathlib import Path

from clarilm_kedro.logs.question_sets import read_clamber, read_in3, read_questions
from clarilm_kedro.logs.reading import read_records

HERE = Path(__file__).parents[1]
REAL = HERE.parent / "shared" / "data"
SAMPLE = HERE / "data" / "01_raw" / "sample"
#: Share of questions that repeat an earlier one in other words.
REWORDED = 0.25
LEAD_INS = ("Can you tell me: ", "Please help me: ", "I would like to know ", "Quick question, ", "Hi! ")
COURTESIES = (" Thanks!", " Please be brief.", " Thank you in advance.", " Any idea?", "!!")


def published_questions() -> tuple[list[str], str]:
    """Read the questions of the public sets where they stand beside the project, else those of the sample world.

    Returns:
        Distinct questions in file order, and where they are from in a few words.
    """
    if (REAL / "questions").is_dir():
        sets = {
            "ambigqa": "questions/ambignq_dev_light.json",
            "nq": "questions/NQ-open.dev.jsonl",
            "popqa": "questions/popqa_neuropath_subset.tsv",
            "in3": "in3/train.jsonl",
            "clamber": "clamber/clamber_sample.jsonl",
        }
        root, name = REAL, "samples of AmbigQA, NQ-open, PopQA, IN3 and CLAMBER"
    else:
        sets = {
            "ambigqa": "ambigqa_dev_light.json",
            "nq": "nq_open_dev.jsonl",
            "popqa": "popqa.tsv",
            "in3": "in3_train.jsonl",
            "clamber": "clamber.jsonl",
        }
        root, name = SAMPLE, "the sample world"
    found: dict[str, None] = {}
    for each, path in sets.items():
        form = "json_in_jsonl" if each == "clamber" else "auto"
        records = read_records(str(root / path), each, form)
        rows = {"in3": read_in3, "clamber": read_clamber}.get(each, lambda rows: read_questions(rows, "set"))(records)
        found |= dict.fromkeys(row.question for row in rows)
    return list(found), name


def make_questions(size: int, seed: int = 7) -> list[str]:
    """Make questions; the first n of a longer list are the list of length n.

    Args:
        size: How many.
        seed: Draws everything.

    Returns:
        Questions, some of them equal.
    """
    chance = random.Random(seed)
    base, _ = published_questions()
    chance.shuffle(base)
    made: list[str] = []
    for question in _questions(base, chance, made):
        made.append(question)
        if len(made) == size:
            return made
    return made


def _questions(base: list[str], chance: random.Random, made: list[str]) -> Iterator[str]:
    unused = iter(base)
    while True:
        if made and chance.random() < REWORDED:
            yield _reworded(chance.choice(made), chance)
        elif chance.random() < 0.1 and (question := next(unused, None)):
            yield question
        else:
            yield _recombined(chance.choice(base), chance.choice(base), chance)


def _recombined(one: str, other: str, chance: random.Random) -> str:
    first, last = one.split(), other.split()
    return " ".join(first[: chance.randint(1, len(first))] + last[chance.randint(0, len(last) - 1) :])


def _reworded(question: str, chance: random.Random) -> str:
    words = question.split()
    at = chance.randrange(len(words))
    kind = chance.randrange(5)
    if kind == 0:
        return chance.choice(LEAD_INS) + question
    if kind == 1:
        return question + chance.choice(COURTESIES)
    if kind == 2 and len(words) > 3:
        return " ".join(words[:at] + words[at + 1 :])
    if kind == 3:
        words[at] = chance.choice(("blue", "second", "local", "Berlin", "older", "first"))
        return " ".join(words)
    word = words[at]
    place = chance.randrange(len(word) + 1)
    words[at] = word[:place] + chance.choice("aeinrst") + word[place:]
    return " ".join(words)
