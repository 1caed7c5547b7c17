"""BERTScore F1 between questions and references, through the ``bert-score`` library (Zhang et al. 2020).

Values depend on the model and layer far more than on the systems, so they are comparable only under one
:func:`score_hash`, which every results table carries. The packaged MiniLM is for use without a network; the paper names
no model ("contextualized BERT embeddings").
"""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import Any

from pydantic import Field
from tqdm import tqdm

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.metrics.question_quality import Combine, reducer
from clarilm_kedro.metrics.score_cache import Pair, ScoreCache
from clarilm_kedro.options import Options
from clarilm_kedro.text.hashing import stable_id
from clarilm_kedro.text.packaged import PREFIX, packaged_path

logger = logging.getLogger(__name__)

_PAIRS_PER_CALL = 512  # the library keeps the token vectors of one call in memory
_MAX_TOKENS = 512


class BertScoreOptions(Options):
    """Which contextual embeddings BERTScore compares."""

    model_type: str = Field(
        default="packaged:minilm", description="packaged:minilm, a local folder or a Hugging Face id."
    )
    num_layers: int = Field(
        default=6, ge=1, description="Layer whose embeddings are compared (MiniLM 6, bert-base-uncased 9)."
    )
    idf: bool = Field(default=False, description="Weight tokens by inverse document frequency over the references.")
    rescale_with_baseline: bool = Field(
        default=False, description="Rescale with the library's baseline; hub models listed in the library only."
    )
    batch_size: int = Field(default=64, ge=1, description="Sentences per forward pass.")


def score_hash(options: BertScoreOptions) -> str:
    """Name everything that a BERTScore value depends on: model, layer, idf, rescaling, library versions."""
    from importlib.metadata import version

    weights = "idf" if options.idf else "no-idf"
    rescaled = "rescaled" if options.rescale_with_baseline else "raw"
    return (
        f"{options.model_type}_L{options.num_layers}_{weights}_{rescaled}"
        f"_bert-score={version('bert-score')}_transformers={version('transformers')}"
    )


class BertScore:
    """BERTScore of text pairs, remembering each pair it has scored.

    The model is loaded when the first pair has to be scored.

    Args:
        options: Model, layer, weighting.
        cache: Keeps scores from run to run; None keeps them for this object's life.
    """

    def __init__(self, options: BertScoreOptions, cache: ScoreCache | None = None) -> None:
        self.options = options
        self._cache = cache
        self._scorer: Any = None
        self._known: dict[tuple[str, str], float] = {}
        self._weighted_by: list[str] = []

    def fit_idf(self, references: Sequence[str]) -> None:
        """Learn the token weights from all references; does nothing unless ``options.idf`` is set.

        Args:
            references: Every reference text of the run; empty ones are left out.
        """
        texts = sorted({text.strip() for text in references} - {""})
        if self.options.idf and texts and texts != self._weighted_by:
            self._known.clear()
            self._weighted_by = texts
            scorer = self._loaded()
            scorer._idf_dict = None  # the library warns when it replaces weights
            with _library_on_transformers_5():
                scorer.compute_idf(texts)

    def f1(self, pairs: Sequence[Pair]) -> list[float]:
        """Score text pairs.

        Args:
            pairs: (question, reference); white space around a text does not count. A pair with an empty side scores 0
                without the library, which fails on empty text.

        Returns:
            One F1 per pair, in order.
        """
        wanted = [(question.strip(), reference.strip()) for question, reference in pairs]
        unknown = {pair for pair in wanted if all(pair) and pair not in self._known}
        if self._cache is not None and unknown:
            self._known |= self._cache.get(self._measure(), unknown)
        # Sorted, so that the batches, and with them the last bits of a score, do not depend on the order of rows.
        self._score(sorted(unknown - self._known.keys()), n_cached=len(unknown & self._known.keys()))
        return [self._known[pair] if all(pair) else 0.0 for pair in wanted]

    def _score(self, unseen: Sequence[Pair], n_cached: int) -> None:
        if not unseen:
            return
        started = perf_counter()
        with tqdm(total=len(unseen), desc="BERTScore", unit="pair", disable=len(unseen) <= _PAIRS_PER_CALL) as bar:
            for start in range(0, len(unseen), _PAIRS_PER_CALL):
                part = unseen[start : start + _PAIRS_PER_CALL]
                questions, references = (list(each) for each in zip(*part, strict=True))
                with _library_on_transformers_5():
                    _, _, values = self._loaded().score(questions, references, batch_size=self.options.batch_size)
                scores = dict(zip(part, (min(1.0, float(value)) for value in values), strict=True))
                self._known |= scores
                if self._cache is not None:
                    self._cache.put(self._measure(), scores)
                bar.update(len(part))
        seconds = perf_counter() - started
        logger.info(
            "BERTScore: %d pairs in %.1f s (%.0f pairs/s, loading included), %d from the cache.",
            len(unseen),
            seconds,
            len(unseen) / seconds,
            n_cached,
        )

    def _measure(self) -> str:
        """What a score depends on besides its texts: with idf weights also all references."""
        weights = stable_id(*self._weighted_by) if self.options.idf else ""
        return f"bertscore_f1 {score_hash(self.options)} {weights}"

    def f1_of_items(
        self, questions: Sequence[str], targets: Sequence[Sequence[str]], combine: Combine = "max"
    ) -> list[float]:
        """Score one question per item against all its targets.

        Args:
            questions: One per item; an empty one scores 0.
            targets: What each is compared with, at least one each
                (:func:`clarilm_kedro.metrics.question_quality.as_targets`).
            combine: How the scores of one item become one.

        Returns:
            One F1 per item.
        """
        pairs = [(q, target) for q, each in zip(questions, targets, strict=True) for target in each]
        scores = iter(self.f1(pairs))
        reduce = reducer(combine)
        return [reduce([next(scores) for _ in each]) for each in targets]

    def _loaded(self) -> Any:
        if self._scorer is None:
            # With idf the library's scorer holds the weights, so it is this object's own.
            self._scorer = _load(self.options) if self.options.idf else _shared(self.options)
        return self._scorer


class _LocalFolder(str):
    """A model folder for a library that tells T5 models by a ``t5`` anywhere in the name, so also in ``/project5/``."""

    __slots__ = ()

    def __contains__(self, part: object) -> bool:
        if part != "t5":
            return super().__contains__(part)  # type: ignore[operator]
        config = json.loads((Path(self) / "config.json").read_text(encoding="utf-8"))
        return "t5" in str(config.get("model_type", ""))


@lru_cache(maxsize=1)
def _shared(options: BertScoreOptions) -> Any:
    return _load(options)


def _load(options: BertScoreOptions) -> Any:
    """Build the library's scorer.

    Raises:
        ClarilmError: The model cannot be loaded, or it has no baseline to rescale with.
    """
    from bert_score import BERTScorer

    name = options.model_type
    folder = packaged_path(name) if name.startswith(PREFIX) else Path(name)
    model_type = _LocalFolder(folder) if (folder / "config.json").is_file() else name
    logger.info("Loading the BERTScore model %s, layer %d.", name, options.num_layers)
    try:
        scorer = BERTScorer(
            model_type=model_type,
            num_layers=options.num_layers,
            idf=options.idf,
            nthreads=0,  # count in this process: forking after torch has started threads can hang
            rescale_with_baseline=options.rescale_with_baseline,
            lang="en",
        )
    except (OSError, AssertionError, ValueError) as error:
        raise ClarilmError(
            f"The BERTScore model '{name}' (layer {options.num_layers}) could not be loaded: {error} "
            "Set globals bertscore.model_type to packaged:minilm, a local folder or a hub id that this machine can "
            "reach, and bertscore.num_layers to one of its layers."
        ) from error
    if options.rescale_with_baseline and not Path(scorer.baseline_path).is_file():
        raise ClarilmError(
            f"bert-score ships no baseline for '{name}': "
            "set evaluation.scoring.bertscore.rescale_with_baseline to false."
        )
    return scorer


@contextmanager
def _library_on_transformers_5() -> Iterator[None]:
    """Let bert-score 0.3.13 encode on transformers 5.

    Its own ``sent_encode`` calls a method that transformers 5 removed for empty text, and passes on
    ``model_max_length``, which is 10^30 for tokenizers that do not name one. The prefix space for GPT-2 and RoBERTa
    vocabularies is kept as in the library, so that scores stay comparable with other users'.
    """
    import bert_score.utils as library
    from transformers import GPT2Tokenizer, RobertaTokenizer

    def encode(tokenizer: Any, sentence: str) -> list[int]:
        prefix = {"add_prefix_space": True} if isinstance(tokenizer, (GPT2Tokenizer, RobertaTokenizer)) else {}
        ids: list[int] = tokenizer.encode(
            sentence.strip(),
            add_special_tokens=True,
            max_length=min(tokenizer.model_max_length, _MAX_TOKENS),
            truncation=True,
            **prefix,
        )
        return ids

    original = library.sent_encode
    library.sent_encode = encode
    try:
        yield
    finally:
        library.sent_encode = original
