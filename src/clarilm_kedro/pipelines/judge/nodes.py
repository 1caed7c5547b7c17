"""Nodes of the judge pipeline."""

import logging
from collections.abc import Mapping
from typing import Any

import pandas as pd

from clarilm_kedro.chat.plan import CountingModel, StageAssumption
from clarilm_kedro.chat.stage import accept
from clarilm_kedro.chat.types import ChatModel, Kind
from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.logs.records import Records
from clarilm_kedro.metrics.judging import agreement, human, outcomes, pairs, results, rule
from clarilm_kedro.metrics.judging.human import SheetOptions
from clarilm_kedro.metrics.judging.pairs import DrawOptions
from clarilm_kedro.metrics.judging.verdicts import (
    IDENTICAL,
    INVALID,
    JUDGEMENTS,
    ORDERS,
    Verdict,
    identical_judgements,
    judgement,
    shown,
)
from clarilm_kedro.metrics.report import SCRIPTED_TEACHER
from clarilm_kedro.pipelines.judge.schemas import AskingOptions, ReportOptions
from clarilm_kedro.pipelines.stages import ask_each, prompt_hash
from clarilm_kedro.tables import FAILED, records, table

logger = logging.getLogger(__name__)

STAGE = "judge"
#: A reply came, but no verdict can be read from it: that is the judge's doing, and counted as its result.
UNUSABLE = (
    Kind.EMPTY,
    Kind.REFUSAL,
    Kind.CONTENT_FILTER,
    Kind.TRUNCATED,
    Kind.INVALID_JSON,
    Kind.INVALID_SCHEMA,
)
# Of a verdict with a short reason; used for the estimate until a judge has answered.
_REPLY_TOKENS = 80


def draw_pairs(benchmarks: pd.DataFrame, predictions: pd.DataFrame, options: DrawOptions) -> pd.DataFrame:
    """Pair replies: see :func:`clarilm_kedro.metrics.judging.pairs.draw_pairs`."""
    return pairs.draw_pairs(benchmarks, predictions, options)


def ask_judges(
    judge_pairs: pd.DataFrame,
    judge_prompt: str,
    judge_llm: ChatModel,
    judges: Mapping[str, ChatModel],
    options: AskingOptions,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Let chat models judge every pair in both orders, after saying how many calls that takes and what they cost.

    Args:
        judge_pairs: Columns of :data:`clarilm_kedro.metrics.judging.pairs.PAIRS`; nobody is asked about identical ones.
        judge_prompt: The judge prompt.
        judge_llm: The judge, under its model's name.
        judges: More judges by name.
        options: What they are shown.

    Returns:
        Verdicts of all judges (columns of :data:`clarilm_kedro.metrics.judging.verdicts.JUDGEMENTS`; ``invalid`` where
        a reply came that holds none), and every failed call.

    Raises:
        ClarilmError: Two judges have the same name.
    """
    if judge_llm.name in judges:
        raise ClarilmError(f"Two judges are named '{judge_llm.name}': rename the one in the global judges.")
    asked = {judge_llm.name: judge_llm, **judges}
    given = records(judge_pairs)
    by_row = {(pair["pair_id"], order): pair for pair in given if not pair["identical"] for order in ORDERS}
    data = {_row_id(*key): _shown(pair, key[1], options) for key, pair in by_row.items()}
    for model in asked.values():
        _announce(model, data, judge_prompt)
    rows: list[dict[str, Any]] = []
    failed: list[pd.DataFrame] = []
    for name, model in asked.items():
        judge = f"{name} (scripted)" if model.name == SCRIPTED_TEACHER else name
        answered, failures = ask_each(data, judge_prompt, model, stage=STAGE, reply=Verdict)
        unusable = {row["row_id"]: row for row in records(failures) if row["kind"] in UNUSABLE}
        made = {"model": model.name, "prompt_sha": prompt_hash(judge_prompt)}
        rows += identical_judgements(given, judge)
        for (pair_id, order), pair in by_row.items():
            row_id = _row_id(pair_id, order)
            if result := answered.get(row_id):
                said = {"reason": result.parsed.reason, "request_key": result.key, "cost_usd": result.cost_usd}
                rows.append(judgement(pair, judge, order, result.parsed.verdict, **made, **said))
            elif failure := unusable.get(row_id):
                said = {"reason": failure["error"], "cost_usd": failure["cost_usd"]}
                rows.append(judgement(pair, judge, order, INVALID, **made, **said))
        failed.append(failures)
    return table(rows, JUDGEMENTS), pd.concat(failed, ignore_index=True).astype(table([], FAILED).dtypes)


def judge_by_rule(judge_pairs: pd.DataFrame, options: AskingOptions) -> pd.DataFrame:
    """Judge by rule, if wanted: see :mod:`clarilm_kedro.metrics.judging.rule`."""
    return rule.rule_judgements(judge_pairs if options.rule_judge else judge_pairs.iloc[:0])


def accept_judgements(
    judge_verdicts: pd.DataFrame, judgements_failed: pd.DataFrame, rule_judgements: pd.DataFrame, options: AskingOptions
) -> pd.DataFrame:
    """Put chat models' and the rule's judgements together, unless too many calls brought no reply.

    Args:
        judge_verdicts: Verdicts of chat models.
        judgements_failed: Their failed calls.
        rule_judgements: Those of the rule.
        options: ``max_failed_share``.

    Returns:
        All judgements. A call without a reply has no row and makes its pair invalid.

    Raises:
        TooManyFailures: More calls failed than the option allows.
    """
    accept(
        int(judge_verdicts["verdict"].ne(IDENTICAL).sum()),
        judgements_failed[~judgements_failed["kind"].isin(UNUSABLE)],
        stage=STAGE,
        max_failed_share=options.max_failed_share,
        dataset="judgements_failed",
    )
    return table([*records(judge_verdicts), *records(rule_judgements)], JUDGEMENTS)


def export_label_sheet(judge_pairs: pd.DataFrame, options: SheetOptions) -> pd.DataFrame:
    """Write the sheet that people fill in: see :func:`clarilm_kedro.metrics.judging.human.label_sheet`."""
    return human.label_sheet(judge_pairs, options)


def read_human_labels(human_labels: Records, judge_pairs: pd.DataFrame) -> pd.DataFrame:
    """Read filled sheets: see :func:`clarilm_kedro.metrics.judging.human.read_labels`."""
    return human.read_labels(human_labels, judge_pairs)


def combine_orders(judge_pairs: pd.DataFrame, judgements: pd.DataFrame, human_judgements: pd.DataFrame) -> pd.DataFrame:
    """Give every judge's outcome per pair: see :func:`clarilm_kedro.metrics.judging.outcomes.pair_outcomes`."""
    return outcomes.pair_outcomes(judge_pairs, judgements, human_judgements)


def report_judging(
    judge_outcomes: pd.DataFrame, options: ReportOptions
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Sum outcomes up.

    Args:
        judge_outcomes: Columns of :data:`clarilm_kedro.metrics.judging.outcomes.OUTCOMES`.
        options: Intervals and warnings.

    Returns:
        ``judge_results``, ``judge_lengths`` and ``judge_agreement``.
    """
    return (
        results.judge_results(judge_outcomes, options.results),
        results.length_table(judge_outcomes, options.results),
        agreement.judge_agreement(judge_outcomes, options.agreement),
    )


def _row_id(pair_id: str, order: int) -> str:
    return f"{pair_id}#{order}"


def _shown(pair: Mapping[str, Any], order: int, options: AskingOptions) -> dict[str, Any]:
    reply_a, reply_b = (text[: options.reply_chars] for text in shown(pair, order))
    gold = {"needs_clarification": pair["needs_clarification"], "good_questions": list(pair["references"])}
    return {
        "context": pair["context"][: options.question_chars],
        "question": pair["question"][: options.question_chars],
        "reply_a": reply_a,
        "reply_b": reply_b,
        "gold": gold if options.show_gold else None,
    }


def _announce(model: ChatModel, data: Mapping[str, Mapping[str, Any]], prompt: str) -> None:
    """Say what a judge is about to be asked and what that costs; of models without a store there is nothing to say."""
    from clarilm_kedro.chat.endpoint import ChatEndpoint

    if not isinstance(model, ChatEndpoint):
        return
    counting = CountingModel(model)
    ask_each(data, prompt, counting, stage=STAGE, reply=Verdict)
    plan = counting.plan(
        STAGE,
        StageAssumption(
            asks_as=STAGE, per="judge_pairs", calls_per_row=2.0, prompt_tokens=1, completion_tokens=_REPLY_TOKENS
        ),
    )
    logger.info(
        "Judging with %s: %s calls, %s more are in the response store; %s prompt and %s reply tokens, %s.",
        model.name,
        f"{plan.calls:,}",
        f"{plan.stored:,}",
        f"{plan.prompt_tokens:,}",
        f"{plan.completion_tokens:,}",
        "of unknown cost" if plan.cost_usd is None else f"US$ {plan.cost_usd:,.2f}",
    )
