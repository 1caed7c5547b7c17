"""Splitting Q by whole clusters of near-duplicates, so that no question is trained on in other words (section 4.2)."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from clarilm_kedro.pipelines.dropping import DROPPED, TIES_SPLITS, dropped
from clarilm_kedro.pipelines.held_out import ClusterRule, SplitOptions, held_back
from clarilm_kedro.pipelines.ofs.schemas import QUESTIONS
from clarilm_kedro.tables import records, table
from clarilm_kedro.text.deduplication import clusters, neighbours
from clarilm_kedro.text.hashing import stable_order
from clarilm_kedro.text.similarity import pairs_within

TRAIN, VALID, TEST = "train", "valid", "test"
STAGE = "assemble_questions"


def held_out_sizes(options: SplitOptions, n_rows: int, n_questions: int) -> dict[str, int]:
    """Say how many of some rows are held out, in proportion to their share of all questions.

    Args:
        options: The wanted sizes; at most a third of all questions each.
        n_rows: How many rows there are.
        n_questions: How many questions there are in all.

    Returns:
        Number of test and of validation rows.
    """
    wanted = {TEST: options.test_questions, VALID: options.validation_questions}
    return {name: round(min(size / max(n_questions, 1), 1 / 3) * n_rows) for name, size in wanted.items()}


def draw_splits(cluster_of: Mapping[str, str], sizes: Mapping[str, int], seed: int) -> dict[str, str]:
    """Draw the held-out rows by whole clusters.

    Clusters are passed in the order of the seed; each goes to the first split in which it still fits, and to training
    where it fits in none. So a split is never too large, and too small by less than the largest cluster.

    Args:
        cluster_of: Row id to cluster.
        sizes: Held-out split to its number of rows.
        seed: Draws the clusters.

    Returns:
        Row id to split; it does not depend on the order of the rows.
    """
    members: dict[str, list[str]] = defaultdict(list)
    for row_id, cluster in cluster_of.items():
        members[cluster].append(row_id)
    left = dict(sizes)
    found: dict[str, str] = {}
    for cluster in stable_order(members, seed, lambda name: name):
        size = len(members[cluster])
        split = next((name for name, free in left.items() if size <= free), TRAIN)
        if split != TRAIN:
            left[split] -= size
        found |= dict.fromkeys(members[cluster], split)
    return found


def split_seed_questions(
    rows: Sequence[Mapping[str, Any]], fm_log_questions: Sequence[str], rule: ClusterRule, options: SplitOptions
) -> dict[str, str]:
    """Set Q^L's share of the held-out questions aside.

    They are drawn from the clusters of sessions that were held back from FM-LOG and that hold no question it was
    trained on. Where there are too few of those, Q^G gives the rest.

    Args:
        rows: Q^L, with question_id, question and session_id.
        fm_log_questions: The questions FM-LOG was trained on.
        rule: Which questions share a split.
        options: Sizes, and the expected size of Q^G.

    Returns:
        question_id to split.
    """
    texts = [*(row["question"] for row in rows), *fm_log_questions]
    names = clusters(texts, pairs_within(texts, rule))
    cluster_of = {row["question_id"]: name for row, name in zip(rows, names, strict=False)}
    known = {cluster_of[row["question_id"]] for row in rows if not held_back(row["session_id"], options)}
    bound = known.union(names[len(rows) :])
    free = {question_id: name for question_id, name in cluster_of.items() if name not in bound}
    sizes = held_out_sizes(options, len(rows), len(rows) + options.synthetic_target)
    return dict.fromkeys(cluster_of, TRAIN) | draw_splits(free, sizes, options.seed)


def assemble_questions(
    seed_questions: pd.DataFrame,
    synthetic_questions: pd.DataFrame,
    in_context_examples: pd.DataFrame,
    in3_train_clean: pd.DataFrame,
    fm_log_examples: pd.DataFrame,
    split: SplitOptions,
    rule: ClusterRule,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Put Q = Q^L + Q^G together and split it by whole clusters (sections 3.3.3 and 4.2).

    A question of Q^G takes the split of the questions it is in a cluster with: those of Q^L, whose split was drawn
    before the synthesis, and the examples and the rows of IN3 and FM-LOG, which are for training. One that would join
    two splits is dropped. The clusters that are left are drawn, for what is still wanted. A held-out size may be missed
    by less than the largest cluster, and is exceeded where more questions are bound to a split than it wants.

    Args:
        seed_questions: Q^L with its split.
        synthetic_questions: Q^G.
        in_context_examples: Examples that the synthesis was shown.
        in3_train_clean: IN3's training rows.
        fm_log_examples: FM-LOG's training rows.
        split: How many questions are held out.
        rule: Which questions share a split.

    Returns:
        Q with its split and clusters, and the dropped questions.
    """
    seeds = [{**row, "origin": "log"} for row in records(seed_questions)]
    written = [{**row, "origin": "generated", "split": None} for row in records(synthetic_questions)]
    trained = [
        {"question_id": row[key], "question": row["question"], "split": TRAIN}
        for frame, key in (
            (in_context_examples, "example_id"),
            (in3_train_clean, "row_id"),
            (fm_log_examples, "example_id"),
        )
        for row in records(frame)
    ]
    rows = [
        *seeds,
        *trained,
        *stable_order(written, split.seed, lambda row: row["question_id"]),
    ]
    pairs = pairs_within([row["question"] for row in rows], rule)
    roots, splits, refused = _bind([row["split"] for row in rows], pairs)
    every = [
        {**row, "root": root, "split": bound}
        for at, (row, root, bound) in enumerate(zip(rows, roots, splits, strict=True))
        if "origin" in row and at not in refused
    ]
    kept = _draw_the_rest(_name_clusters(every), split)
    gone = [
        dropped(rows[at], STAGE, TIES_SPLITS, other_id=rows[other]["question_id"], score=score)
        for at, (other, score) in refused.items()
    ]
    return table(kept, QUESTIONS, sort_by="question_id"), table(gone, DROPPED, sort_by="row_id")


def _bind(
    splits: Sequence[str | None], pairs: pd.DataFrame
) -> tuple[list[int], list[str | None], dict[int, tuple[int, float]]]:
    """Join similar rows to groups one after the other, and let a group have the split of its members.

    Args:
        splits: The split of each row that has one.
        pairs: Similar rows, as positions.

    Returns:
        The root of each row's group, the split of that group if it has one, and the rows without a split that would
        join groups of different splits, with the most similar row of these and the similarity.
    """
    parent, bound = list(range(len(splits))), list(splits)
    refused: dict[int, tuple[int, float]] = {}

    def root(at: int) -> int:
        while parent[at] != at:
            parent[at] = at = parent[parent[at]]
        return at

    similar = neighbours(pairs)
    for at in range(len(splits)):
        earlier = [(other, score) for other, _, score in similar.get(at, ()) if other < at and other not in refused]
        names = {bound[root(other)] for other, _ in earlier} | {bound[at]}
        names.discard(None)
        if len(names) < 2:
            for other, _ in earlier:
                parent[root(other)] = at
            bound[at] = next(iter(names), None)
        elif splits[at] is None:
            refused[at] = max(
                ((other, score) for other, score in earlier if bound[root(other)]), key=lambda each: each[1]
            )
    roots = [root(at) for at in range(len(splits))]
    return roots, [bound[at] for at in roots], refused


def _name_clusters(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Name each group by the least id of its questions."""
    given = list(rows)
    names: dict[int, str] = {}
    for row in given:
        names[row["root"]] = min(names.get(row["root"], row["question_id"]), row["question_id"])
    return [{**row, "cluster_id": names[row["root"]]} for row in given]


def _draw_the_rest(rows: Sequence[dict[str, Any]], options: SplitOptions) -> list[dict[str, Any]]:
    """Draw Q^G's clusters that no split binds, so that the held-out splits have their sizes."""
    bound = Counter(row["split"] for row in rows)
    wanted = held_out_sizes(options, len(rows), len(rows))
    free = {row["question_id"]: row["cluster_id"] for row in rows if row["split"] is None}
    drawn = draw_splits(free, {name: max(size - bound[name], 0) for name, size in wanted.items()}, options.seed)
    return [{**row, "split": row["split"] or drawn[row["question_id"]]} for row in rows]
