"""The node that fuses the facets of both sources (paper, section 3.2.5)."""

import pandas as pd

from clarilm_kedro.pipelines.cfd.schemas import FACET_MERGES, FACETS, FusionOptions
from clarilm_kedro.tables import table, typed
from clarilm_kedro.text.embedding import get_embedder
from clarilm_kedro.text.facets import Candidate, fuse
from clarilm_kedro.text.hashing import stable_id
from clarilm_kedro.text.normalise import normalise_facet

#: What leads a candidate back to its source. Where FM-LLM has no part in it, the key is FM-LOG's (behind an endpoint).
_LEADS_BACK = {"llm": ["teacher", "prompt_sha", "request_key"], "log": ["model", "adapter_sha", "seed"]}


def fuse_facets(
    log_facets: pd.DataFrame, llm_facets: pd.DataFrame, options: FusionOptions
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fuse both sources: F(q) = dedup(F_log(q) + F_llm(q)), duplicates and semantic overlaps resolved (section 3.2.5).

    Args:
        log_facets: Candidates of FM-LOG.
        llm_facets: Candidates of FM-LLM.
        options: The sentence encoder and how alike two facets must be.

    Returns:
        One candidate a row, worded as its best-ranked member of FM-LLM, or else of FM-LOG; ``sources`` names every
        origin, ``rank`` is the best in any of them. And every merge, and every pair that a veto kept apart.
    """
    order = ["question_id", "rank", "source", "facet", "clarifying_question"]
    offered = pd.concat([llm_facets, log_facets], ignore_index=True).sort_values(
        order, kind="stable", ignore_index=True
    )
    by_question: dict[str, list[Candidate]] = {}
    keys = zip(offered["question_id"], offered["facet"], offered["rank"], offered["source"], strict=True)
    for number, (question_id, facet, rank, source) in enumerate(keys):
        by_question.setdefault(question_id, []).append(Candidate.of(facet, int(rank), source, number))
    encoder = get_embedder(options.embedding_model)
    fused, merges = fuse(list(by_question.values()), encoder.encode, options.threshold)
    facets = _rows([candidate for group in fused for candidate in group], offered)
    question_ids = list(by_question)
    pairs = [
        {
            "question_id": question_ids[merge.group],
            "facet": merge.kept.facet,
            "other_facet": merge.other.facet,
            "method": merge.method,
            "cosine": merge.cosine,
            "words": merge.words,
            "sources": list(merge.kept.sources),
            "other_sources": list(merge.other.sources),
        }
        for merge in merges
    ]
    return facets, table(pairs, FACET_MERGES)


def _rows(candidates: list[Candidate], offered: pd.DataFrame) -> pd.DataFrame:
    """Make the facets table: a candidate's own row, and from its best row of either source what leads back to that."""
    source = offered["source"].tolist()
    found = offered.iloc[[each.rows[0] for each in candidates]].reset_index(drop=True)
    found["rank"] = [each.rank for each in candidates]
    for origin, names in _LEADS_BACK.items():
        best = [next((row for row in each.rows if source[row] == origin), each.rows[0]) for each in candidates]
        found[names] = offered[names].iloc[best].reset_index(drop=True)
    found["candidate_id"] = [
        stable_id(question_id, normalise_facet(each.facet), length=8)
        for question_id, each in zip(found["question_id"], candidates, strict=True)
    ]
    for name in ("sources", "members"):
        found[name] = [list(getattr(each, name)) for each in candidates]
    return typed(found, FACETS)
