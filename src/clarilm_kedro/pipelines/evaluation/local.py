"""A node that predicts with further models on this machine: any base model, any adapter."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from clarilm_kedro.chat.prompts import PromptTemplate
from clarilm_kedro.finetuning.adapter_server import AdapterServer
from clarilm_kedro.finetuning.local_system import LocalSystem
from clarilm_kedro.finetuning.template import Message, clarification_prompt
from clarilm_kedro.pipelines.evaluation.prediction import predict_with_model, predictions
from clarilm_kedro.pipelines.evaluation.schemas import DecodingOptions
from clarilm_kedro.tables import records


def predict_local(
    local_systems: dict[str, LocalSystem],
    zero_shot_prompt: str,
    benchmarks: pd.DataFrame,
    options: DecodingOptions,
    adapter_server: AdapterServer | None = None,
) -> pd.DataFrame:
    """Predict with each of the systems; they decide as the project's own models do.

    Args:
        local_systems: System name to the model.
        zero_shot_prompt: What the LLM baselines are asked; for systems that take it.
        benchmarks: The items.
        options: Lengths, batch size, temperature and draws.
        adapter_server: Starts llama.cpp to generate the replies; None generates in this process.

    Returns:
        One prediction per system, draw and item.
    """
    rows: list[dict[str, Any]] = []
    for name, system in local_systems.items():
        frame = predict_with_model(
            system=name,
            base_model=system.model,
            adapter=system.adapter,
            threshold=system.threshold,
            benchmarks=benchmarks,
            options=options,
            adapter_server=adapter_server,
            prompts=_prompts(benchmarks, system, zero_shot_prompt),
        )
        rows += records(frame)
    return predictions(rows)


def _prompts(benchmarks: pd.DataFrame, system: LocalSystem, zero_shot_prompt: str) -> Sequence[Sequence[Message]]:
    if system.prompt == "clarilm":
        return [clarification_prompt(question) for question in benchmarks["question"]]
    template = PromptTemplate.from_text("zero_shot", zero_shot_prompt)
    return [
        [
            {"role": message.role, "content": message.content}
            for message in template.render(question=item["question"], context=item["context"])
        ]
        for item in records(benchmarks)
    ]
