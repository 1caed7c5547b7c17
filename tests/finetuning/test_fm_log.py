from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.decoder import Generation
from clarilm_kedro.finetuning.decoding import SamplingOptions
from clarilm_kedro.finetuning.fm_log import OUTCOMES, FacetCandidate, draw, read_generations, train
from clarilm_kedro.finetuning.jobs import adapter_digest
from clarilm_kedro.finetuning.options import SftOptions
from clarilm_kedro.finetuning.template import fm_log_completion

EXAMPLES = [
    ("Recommend me a laptop.", fm_log_completion("intended use", "What will you mainly use it for?")),
    ("Plan my trip.", fm_log_completion("budget", "What is your budget?")),
]


def test_identical_facets_are_dropped_and_every_generation_is_accounted_for() -> None:
    drawn = [
        Generation("budget\nWhat is your budget?", True),
        Generation("The budget\nHow much can you spend?", True),
        Generation("no question", True),
        Generation("...\nWhat?", True),
        Generation("place\nWhere do you li", False),
        Generation("a b c d\nWhat?", True),
        Generation("intended use\nWhat for?", True),
    ]
    candidates, outcomes = read_generations(drawn, facet_words=3)
    assert candidates == [
        FacetCandidate("budget", "What is your budget?", 0),
        FacetCandidate("intended use", "What for?", 6),
    ]
    assert outcomes == ["kept", "repeated", "malformed", "malformed", "unfinished", "too_long", "kept"]
    assert set(outcomes) == set(OUTCOMES)


def test_fm_log_proposes_what_it_was_trained_on(tiny: BaseModelSpec) -> None:
    options = SftOptions(seed=3, learning_rate=2e-2, epochs=60, batch_size=2, micro_batch_size=2)
    adapter = train(EXAMPLES, tiny, options)
    assert adapter.path is not None
    questions = [question for question, _ in EXAMPLES]
    drawn = draw(tiny, adapter.path, questions, SamplingOptions(k=2, temperature=0.1))
    found = [read_generations(row, facet_words=12) for row in drawn]
    assert [row[0].facet for row, _ in found] == ["intended use", "budget"]
    assert found[1][0][0].clarifying_question == "What is your budget?"
    assert [outcomes for _, outcomes in found] == [["kept", "repeated"]] * 2
    assert len(adapter_digest(adapter.path)) == 64


def test_too_few_examples_are_a_recorded_skip(tiny: BaseModelSpec) -> None:
    skipped = train(EXAMPLES, tiny, SftOptions(), min_examples=20, on_too_few="skip")
    assert skipped.path is None
    assert "at least 20" in skipped.report["reason"]
