"""What the annotations and pairs are made of: the paper's counts by source, and what they hide (section 3.3.3)."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from clarilm_kedro.pipelines.ofs.schemas import PREFERENCE_STATISTICS
from clarilm_kedro.tables import records, table

Row = dict[str, Any]

#: MLflow's metric names take neither ">" nor "+".
_TYPE_NAMES = {
    "clarify>answer": "clarify_over_answer",
    "answer>clarify": "answer_over_clarify",
    "better>worse question": "better_question",
}


def summarise_preferences(
    annotations: pd.DataFrame, annotation_votes: pd.DataFrame, candidates: pd.DataFrame, preferences: pd.DataFrame
) -> pd.DataFrame:
    """Count where chosen replies come from, and look for the biases that such counts hide.

    Args:
        annotations: One annotation per question.
        annotation_votes: One vote a row, with the order its candidates were shown in.
        candidates: What each question could be met with.
        preferences: Preference pairs.

    Returns:
        Columns section, group, measure, value, n. The sections:

        - ``chosen_of_pairs``, ``chosen_of_questions``: counts and shares of r+ by source (answer, log, llm, or both, a
            facet that both found), as in the paper's 48,721 / 21,975 / 56,786.
        - ``pairs_by_type``: counts and shares of the three types.
        - ``win_rate``: chosen per candidate offered, by source; shares alone reward the source that offers more.
        - ``position``: share of votes for the candidate at that place of the list, beside the share that a choice
            without regard to places would give it (``expected``).
        - ``length_gap``: mean words and characters of r+ minus r- by type; DPO learns a length where it is large.
        - ``balance``: share of questions whose r+ asks, over all and by split.
        - ``agreement``: mean share of votes for the chosen candidate, and share of unanimous questions.
    """
    asked, pairs, votes = records(annotations), records(preferences), records(annotation_votes)
    annotated = {row["question_id"] for row in asked}
    offered = [row for row in records(candidates) if row["question_id"] in annotated]
    rows = [
        *_shares("chosen_of_pairs", [_source(row["chosen_source"].split("+")) for row in pairs]),
        *_shares("chosen_of_questions", [_source(row["sources"]) for row in asked]),
        *_shares("pairs_by_type", [_TYPE_NAMES[row["type"]] for row in pairs]),
        *_win_rates(asked, offered),
        *_positions(votes),
        *_length_gaps(pairs),
        *_balance(asked),
        *_agreement(asked),
    ]
    return table(rows, PREFERENCE_STATISTICS)


def _row(section: str, group: str, measure: str, value: float, n: int) -> Row:
    return {"section": section, "group": group, "measure": measure, "value": float(value), "n": n}


def _source(sources: Sequence[str]) -> str:
    return "both" if len(sources) > 1 else sources[0]


def _shares(section: str, names: Sequence[str]) -> Iterator[Row]:
    for name, count in sorted(Counter(names).items()):
        yield _row(section, name, "count", count, len(names))
        yield _row(section, name, "share", count / len(names), len(names))


def _win_rates(asked: Iterable[Row], offered: Iterable[Row]) -> Iterator[Row]:
    offers = Counter(_source(row["sources"]) for row in offered)
    wins = Counter(_source(row["sources"]) for row in asked)
    for name, count in sorted(offers.items()):
        yield _row("win_rate", name, "chosen_per_offered", wins[name] / count, count)


def _positions(votes: Sequence[Row]) -> Iterator[Row]:
    chosen: Counter[int] = Counter()
    expected: dict[int, float] = {}
    for vote in votes:
        chosen[vote["shown"].index(vote["choice_id"]) + 1] += 1
        for place in range(1, len(vote["shown"]) + 1):
            expected[place] = expected.get(place, 0.0) + 1 / len(vote["shown"])
    for place in sorted(expected):
        yield _row("position", f"place_{place:02d}", "share", chosen[place] / len(votes), len(votes))
        yield _row("position", f"place_{place:02d}", "expected", expected[place] / len(votes), len(votes))


def _length_gaps(pairs: Sequence[Row]) -> Iterator[Row]:
    measures: Mapping[str, Callable[[str], int]] = {"words": lambda text: len(text.split()), "characters": len}
    for kind, name in _TYPE_NAMES.items():
        of_kind = [row for row in pairs if row["type"] == kind]
        for measure, length in measures.items():
            if of_kind:
                gaps = [length(row["chosen"]) - length(row["rejected"]) for row in of_kind]
                yield _row("length_gap", name, measure, sum(gaps) / len(gaps), len(gaps))


def _balance(asked: Sequence[Row]) -> Iterator[Row]:
    splits = {"all": list(asked)} | {
        split: [row for row in asked if row["split"] == split] for split in sorted({row["split"] for row in asked})
    }
    for split, rows in splits.items():
        if rows:
            asks = sum(row["choice_kind"] == "ask" for row in rows)
            yield _row("balance", split, "ask_share", asks / len(rows), len(rows))


def _agreement(asked: Sequence[Row]) -> Iterator[Row]:
    if asked:
        shares = [row["agreement"] for row in asked]
        yield _row("agreement", "all", "mean", sum(shares) / len(shares), len(shares))
        yield _row("agreement", "all", "unanimous", sum(share == 1 for share in shares) / len(shares), len(shares))
