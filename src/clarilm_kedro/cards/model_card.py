"""The model card: what the adapter is, what it was trained on, what it scores, where it ends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from clarilm_kedro.cards.markdown import markdown_table, percent, render, says_scripted, sources_table
from clarilm_kedro.cards.options import CardOptions
from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.template import DECISION, clarification_prompt
from clarilm_kedro.metrics.baselines import BARS
from clarilm_kedro.metrics.table import TITLES
from clarilm_kedro.tables import records

SYSTEM = "clarilm"
_COMPARED_WITH = ("base", "tf-idf", "clarilm-sft")


@dataclass(frozen=True)
class ModelFacts:
    """What a model card is written from.

    Attributes:
        base_model: The base model.
        sft: Report of the supervised training.
        dpo: Report of the preference optimisation.
        calibration: The fitted threshold, as :class:`clarilm_kedro.finetuning.calibration.Calibration` in JSON.
        results: The results table.
        comparisons: ClariLM against other systems.
        sources: The public sources, as ``sources.yml`` lists them.
    """

    base_model: BaseModelSpec
    sft: Mapping[str, Any]
    dpo: Mapping[str, Any]
    calibration: Mapping[str, Any]
    results: pd.DataFrame
    comparisons: pd.DataFrame
    sources: Mapping[str, Mapping[str, Any]]


def write_model_card(facts: ModelFacts, options: CardOptions) -> str:
    """Write a model card as the Hugging Face Hub reads it: YAML front matter, then Markdown.

    Args:
        facts: What the run produced.
        options: What the run cannot know.

    Returns:
        The card.
    """
    mine = facts.results[facts.results["system"] == SYSTEM]
    teachers = sorted({str(name) for name in mine["teacher"]})
    scripted = says_scripted(teachers)
    source = facts.base_model.source
    template = facts.base_model.chat_template
    body = render(
        "model_card.md.jinja",
        base=source,
        on_the_hub=_is_on_the_hub(source),
        scripted=scripted,
        template="the base model's own chat template" if template == "model" else f"the chat template {template}",
        prompt=clarification_prompt("<question>"),
        decision=DECISION,
        threshold=f"{float(facts.calibration.get('threshold', 0.5)):.4f}",
        calibrated=facts.calibration["n"] if facts.calibration.get("status") == "fitted" else None,
        model_id=options.model_id or "FOLDER",
        dataset_id=options.dataset_id,
        training=_training(facts.sft, facts.dpo),
        teachers=", ".join(teachers) or "none named",
        origins=", ".join(f"{origin} {n:,}" for origin, n in sorted((facts.sft.get("rows_by_origin") or {}).items())),
        sources=sources_table(options, facts.sources),
        leakage=leakage_told(facts.sft.get("leakage") or []),
        results=_results(facts.results),
        bertscore=", ".join(sorted({str(each) for each in mine["bertscore"]})) or "not computed",
        comparisons=_comparisons(facts.comparisons),
        languages=", ".join(options.language),
        limits=_limits(facts, scripted),
        version=version("clarilm_kedro"),
        run=f"{facts.sft.get('rows', 0):,} supervised rows and {facts.dpo.get('pairs', 0):,} preference pairs",
    )
    return _front_matter(facts, options, mine) + body


def leakage_told(summary: Sequence[Mapping[str, Any]]) -> str:
    """Say what the leak guard found.

    Args:
        summary: Rows ``train_table``, ``test_set``, ``method``, ``action``, ``n``.

    Returns:
        A Markdown table with a sentence, or the sentence that nothing was found.
    """
    if not summary:
        return "Every training table was searched for near-duplicates of every test question; none was found."
    rows = [
        (each["train_table"], each["test_set"], each["method"], each["action"], f"{each['n']:,}") for each in summary
    ]
    table = markdown_table(("table", "test set", "found by", "what was done", "rows"), rows)
    return f"Every training table was searched for near-duplicates of every test question. Found:\n\n{table}"


def _front_matter(facts: ModelFacts, options: CardOptions, mine: pd.DataFrame) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    evaluated = [
        EvalResult(
            task_type="text-generation",
            task_name="Clarification necessity",
            dataset_type=f"clarilm-kedro/{row['benchmark']}",
            dataset_name=str(TITLES.get(row["benchmark"], row["benchmark"])),
            metric_type=kind,
            metric_name=f"{name} [{percent(row[f'{key}_low'])}, {percent(row[f'{key}_high'])}], n = {row['n']}",
            metric_value=round(100 * float(row[key]), 2),
        )
        for row in records(mine)
        for key, kind, name in (("f1_macro", "f1", "macro F1"), ("acc", "accuracy", "accuracy"))
    ]
    source = facts.base_model.source
    data = ModelCardData(
        base_model=source if _is_on_the_hub(source) else None,
        datasets=[options.dataset_id] if options.dataset_id else None,
        eval_results=evaluated or None,
        language=list(options.language),
        library_name="peft",
        license=options.license,
        model_name="ClariLM",
        pipeline_tag="text-generation",
        tags=["lora", "clarification", "clarifying-questions", "clarilm"],
    )
    return f"---\n{data.to_yaml()}\n---\n\n"


def _is_on_the_hub(source: str) -> bool:
    return "/" in source and not Path(source).expanduser().exists()


def _training(sft: Mapping[str, Any], dpo: Mapping[str, Any]) -> str:
    rows = []
    for name, report, what in (("SFT", sft, "rows"), ("DPO", dpo, "pairs")):
        options = report.get("options") or {}
        rows.append(
            (
                name,
                f"{report.get(what, 0):,} {what}, {report.get(f'{what}_over_length', 0):,} more were too long",
                f"{options.get('learning_rate', '-')}, {options.get('epochs', '-')}, {options.get('batch_size', '-')}",
                f"{options.get('lora_rank', sft.get('options', {}).get('lora_rank', '-'))}",
                f"{report.get('steps', 0):,} on {report.get('device', '-')}, {report.get('seconds', 0):,.0f} s",
                f"{report.get('loss_first', float('nan')):.3f} to {report.get('loss_last', float('nan')):.3f}",
            )
        )
    return markdown_table(("stage", "data", "learning rate, epochs, batch", "LoRA rank", "steps", "loss"), rows)


def _results(results: pd.DataFrame) -> str:
    shown = [*BARS, "base", "clarilm-sft", SYSTEM]
    rows = []
    for row in sorted(records(results), key=lambda row: (row["benchmark"], _place(row["system"], shown))):
        if row["system"] not in shown:
            continue
        rows.append(
            (
                TITLES.get(row["benchmark"], row["benchmark"]),
                f"**{row['system']}**" if row["system"] == SYSTEM else row["system"],
                f"{row['n']:,}",
                percent(row["acc"]),
                f"{percent(row['f1_macro'])} [{percent(row['f1_macro_low'])}, {percent(row['f1_macro_high'])}]",
                percent(row["f1_pos"]),
                percent(row["tf"]),
                percent(row["bert"]),
            )
        )
    headings = ("benchmark", "system", "n", "accuracy", "macro F1", "F1 of asking", "TF", "BERTScore")
    return markdown_table(headings, rows)


def _comparisons(comparisons: pd.DataFrame) -> str:
    rows = [
        (
            TITLES.get(row["benchmark"], row["benchmark"]),
            row["other"],
            f"{100 * row['f1_macro_diff']:+.1f} [{100 * row['f1_macro_low']:+.1f}, {100 * row['f1_macro_high']:+.1f}]",
            f"{row['mcnemar_p_holm']:.3g}",
        )
        for row in records(comparisons)
        if row["system"] == SYSTEM and row["other"] in _COMPARED_WITH
    ]
    return markdown_table(("benchmark", "against", "difference", "p"), rows) if rows else ""


def _limits(facts: ModelFacts, scripted: bool) -> list[str]:
    limits = []
    mine = facts.results[facts.results["system"] == SYSTEM]
    if len(mine) and int(mine["n"].max()) < 500:
        limits.append(f"Its test sets are small (at most {int(mine['n'].max())} items): look at the intervals.")
    if scripted:
        limits.append("Scripted teacher, invented questions: do not quote its figures beside those of other models.")
    behind = [
        str(TITLES.get(row["benchmark"], row["benchmark"]))
        for row in records(facts.comparisons)
        if row["system"] == SYSTEM and row["other"] == "tf-idf" and row["f1_macro_low"] <= 0
    ]
    if behind:
        limits.append(
            "A logistic regression on words and characters (tf-idf) is not clearly behind it in macro F1 on "
            f"{', '.join(behind)}."
        )
    return limits


def _place(system: str, shown: Sequence[str]) -> int:
    return shown.index(system) if system in shown else len(shown)
