"""FM-LOG behind an endpoint: a server that holds the base model and the adapter (vLLM's ``--lora-modules``)."""

from collections.abc import Sequence

import pandas as pd

from clarilm_kedro.chat.stage import ask
from clarilm_kedro.chat.types import ChatModel, ChatRequest, ChatResult, Kind
from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.decoder import Generation
from clarilm_kedro.finetuning.decoding import SamplingOptions
from clarilm_kedro.finetuning.template import fm_log_prompt
from clarilm_kedro.pipelines.stages import as_messages
from clarilm_kedro.text.hashing import stable_seed

#: A generation, and the key of the stored reply it was read from.
Drawn = tuple[Generation, str | None]

_SILENT = str(Kind.EMPTY)


def draw_from_endpoint(
    questions: Sequence[str], server: ChatModel, options: SamplingOptions
) -> tuple[dict[str, list[Drawn]], pd.DataFrame]:
    """Draw k generations per question from a server.

    Each is a request of its own, told apart by its sample index, which is added to the seed and depends on the question
    too: with the seeds 0 to k - 1 for every question all of them would be drawn by the same few random numbers.
    Temperature, top-k and top-p travel in the request as the server's catalog entry has them. A reply that did not end
    within ``max_new_tokens``, and an empty one, are generations too: they are counted, not failed.

    Args:
        questions: Distinct user questions.
        server: The endpoint.
        options: ``k`` and ``max_new_tokens``.

    Returns:
        Per question its generations with the keys of the stored replies, in the order of the samples; and the calls
        that failed.

    Raises:
        ClarilmError: ``num_beams`` is above 1; an OpenAI-compatible endpoint has no beam search that samples.
    """
    if options.num_beams > 1:
        raise ClarilmError(
            f"FM-LOG is served by an endpoint ('{server.name}'), which cannot combine beam search with sampling. Set "
            "fm_log.num_beams=1, or fm_log_server.base_url=null and decoding.engine=transformers to decode in this "
            "process."
        )
    row_ids = [(number, sample) for number in range(len(questions)) for sample in range(options.k)]
    requests = [
        ChatRequest(
            _row_id(number, sample),
            as_messages(fm_log_prompt(questions[number])),
            sample_index=stable_seed(questions[number], sample),
            whole=False,
        )
        for number, sample in row_ids
    ]
    results, failures = ask(requests, server, stage="fm_log")
    silent = failures["kind"] == _SILENT
    empty = set(failures[silent]["row_id"])
    drawn: dict[str, list[Drawn]] = {question: [] for question in questions}
    for number, sample in row_ids:
        row_id = _row_id(number, sample)
        if row_id in results:
            drawn[questions[number]].append(_read(results[row_id]))
        elif row_id in empty:
            drawn[questions[number]].append((Generation("", True), None))
    return drawn, failures[~silent].reset_index(drop=True)


def _row_id(number: int, sample: int) -> str:
    return f"{number:08d}#{sample}"


def _read(result: ChatResult) -> Drawn:
    return Generation(result.text.strip(), result.finish_reason != "length"), result.key
