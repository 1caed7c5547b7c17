"""BERTScore: the toy example through the library's own matching, empty text, caching, and the packaged model."""

import json
from pathlib import Path

import pytest

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.metrics.bertscore import BertScore, BertScoreOptions, _LocalFolder, score_hash
from clarilm_kedro.metrics.question_quality import as_targets
from clarilm_kedro.metrics.score_cache import ScoreCache


@pytest.fixture(scope="module")
def scorer() -> BertScore:
    return BertScore(BertScoreOptions())


def test_toy_example_through_the_library() -> None:
    import torch
    from bert_score.utils import greedy_cos_idf

    # Unit vectors whose cosines are [[1, .2], [.3, .8], [.1, .4]]; two tokens of weight 0 stand for [CLS] and [SEP].
    cosines = [(1.0, 0.2), (0.3, 0.8), (0.1, 0.4)]
    r2 = (0.2, (1 - 0.2**2) ** 0.5)
    hypothesis = []
    for a, b in cosines:
        y = (b - a * r2[0]) / r2[1]
        hypothesis.append([a, y, max(0.0, 1 - a * a - y * y) ** 0.5, 0.0, 0.0])
    reference = [[1.0, 0.0, 0.0, 0.0, 0.0], [r2[0], r2[1], 0.0, 0.0, 0.0]]
    specials = [[0.0, 0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0]]

    def side(tokens: list[list[float]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        vectors = torch.tensor([tokens + specials])
        weights = torch.tensor([[1.0] * len(tokens) + [0.0, 0.0]])
        return vectors, torch.ones_like(weights, dtype=torch.bool), weights

    precision, recall, f1 = (float(each) for each in greedy_cos_idf(*side(reference), *side(hypothesis)))
    assert precision == pytest.approx(0.7333, abs=5e-5)
    assert recall == pytest.approx(0.9, abs=5e-5)
    assert f1 == pytest.approx(0.8082, abs=5e-5)


def test_identical_empty_and_related_texts(scorer: BertScore) -> None:
    same, padded, empty, blank, related, other = scorer.f1(
        [
            ("Which city?", "Which city?"),
            ("  Which city?\n", "Which city?"),
            ("", "Which city?"),
            ("Which city?", " \n"),
            ("What is your budget?", "How much money can you spend?"),
            ("What is your budget?", "Which breed of dog do you own?"),
        ]
    )
    assert same == pytest.approx(1.0, abs=1e-5)
    assert padded == same
    assert (empty, blank) == (0.0, 0.0)
    assert 0 < other < related < 1


def test_a_very_long_text_is_cut_not_refused(scorer: BertScore) -> None:
    assert 0 < scorer.f1([("city " * 2000, "Which city?")])[0] < 1


def test_no_pairs(scorer: BertScore) -> None:
    assert scorer.f1([]) == []


def test_scores_do_not_depend_on_what_they_are_scored_with() -> None:
    pairs = [("Which city?", "Which town?"), ("What budget?", "How much money?"), ("Who is she?", "Who is it for?")]
    together = BertScore(BertScoreOptions()).f1(pairs)
    scorer = BertScore(BertScoreOptions(batch_size=1))
    assert [scorer.f1([pair])[0] for pair in reversed(pairs)] == pytest.approx(together[::-1], abs=1e-5)


def test_a_pair_is_scored_once(scorer: BertScore) -> None:
    pairs = [("Which colour?", "What colour?")]
    first = scorer.f1(pairs)
    loaded, scorer._scorer = scorer._scorer, None  # without the model only remembered pairs can be answered
    try:
        assert scorer.f1(pairs * 3) == first * 3
        assert scorer._scorer is None
    finally:
        scorer._scorer = loaded


@pytest.mark.parametrize("combine", ["max", "mean", "first", "concat"])
def test_several_references(scorer: BertScore, combine: str) -> None:
    references = ["Which city?", "What is your budget?"]
    targets = as_targets(references, combine)  # type: ignore[arg-type]
    value = scorer.f1_of_items(["Which town?"], [targets], combine)[0]  # type: ignore[arg-type]
    by_pair = scorer.f1([("Which town?", each) for each in [*references, " ".join(references)]])
    expected = {"max": max(by_pair[:2]), "mean": sum(by_pair[:2]) / 2, "first": by_pair[0], "concat": by_pair[2]}
    assert value == pytest.approx(expected[combine])


def test_idf_weights_change_the_score() -> None:
    plain, weighted = BertScore(BertScoreOptions()), BertScore(BertScoreOptions(idf=True))
    weighted.fit_idf(["Which city?", "Which town?", "Which street?", ""])
    pair = [("Which city?", "Which town?")]
    assert weighted.f1(pair) != pytest.approx(plain.f1(pair), abs=1e-3)
    weighted.fit_idf(["town"])
    assert not weighted._known  # scores under the old weights are forgotten


def test_hash_names_all_that_matters() -> None:
    text = score_hash(BertScoreOptions(idf=True, num_layers=5))
    assert text.startswith("packaged:minilm_L5_idf_raw_bert-score=0.3.13_transformers=")
    assert score_hash(BertScoreOptions(rescale_with_baseline=True)).startswith("packaged:minilm_L6_no-idf_rescaled")
    assert score_hash(BertScoreOptions(batch_size=1)) == score_hash(BertScoreOptions())


def test_scores_of_an_earlier_run_need_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, pairs = ScoreCache(tmp_path / "scores.sqlite"), [("Which city?", "Which town?"), ("Which city?", "Budget?")]
    scores = BertScore(BertScoreOptions(), cache).f1(pairs)
    monkeypatch.setattr(BertScore, "_loaded", lambda self: pytest.fail("the model was loaded"))
    assert BertScore(BertScoreOptions(), cache).f1(pairs) == scores
    with pytest.raises(pytest.fail.Exception):
        BertScore(BertScoreOptions(num_layers=5), cache).f1(pairs)


def test_cached_scores_under_idf_hold_for_the_same_references_only(tmp_path: Path) -> None:
    cache, pair = ScoreCache(tmp_path / "scores.sqlite"), [("Which city?", "Which town?")]
    scores = []
    for references in (["Which city?", "Which town?"], ["Which river?", "Whose town?"]):
        scorer = BertScore(BertScoreOptions(idf=True), cache)
        scorer.fit_idf(references)
        scores += scorer.f1(pair)
    assert scores[0] != pytest.approx(scores[1], abs=1e-3)


def test_equals_the_library_called_by_itself(scorer: BertScore) -> None:
    """The library's own call on texts without the two faults that are mended here (empty text, no length limit)."""
    from bert_score import score as library_score

    from clarilm_kedro.text.packaged import packaged_path

    pairs = [("Which city are you in?", "What town do you live in?"), ("What budget?", "How much can you spend on it?")]
    questions, references = ([pair[side] for pair in pairs] for side in (0, 1))
    folder = _LocalFolder(packaged_path("packaged:minilm"))
    _, _, expected = library_score(
        questions, references, model_type=folder, num_layers=6, nthreads=0, use_fast_tokenizer=True
    )
    assert scorer.f1(pairs) == pytest.approx([float(value) for value in expected], abs=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_layers": 7}, "layer 7"),
        ({"rescale_with_baseline": True}, "no baseline"),
        ({"model_type": "no/such-model"}, "could not be loaded"),
    ],
)
def test_errors_are_sentences(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ClarilmError, match=message):
        BertScore(BertScoreOptions(**changes)).f1([("a", "b")])  # type: ignore[arg-type]


def test_a_folder_is_taken_for_t5_by_its_config_only(tmp_path: Path) -> None:
    for kind, folder in (("bert", tmp_path / "project5" / "bert"), ("t5", tmp_path / "encoder")):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({"model_type": kind}), encoding="utf-8")
    bert, encoder = _LocalFolder(tmp_path / "project5" / "bert"), _LocalFolder(tmp_path / "encoder")
    assert "t5" not in bert
    assert "t5" in encoder
    assert "project5" in bert
