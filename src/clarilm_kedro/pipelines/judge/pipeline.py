"""Pairwise judging: draw pairs, ask in both orders, combine, sum up."""

from kedro.pipeline import Node, Pipeline

from clarilm_kedro.pipelines.evaluation.drawing_pipeline import create_judge_drawing
from clarilm_kedro.pipelines.judge import nodes


def create_pipeline(**_: object) -> Pipeline:
    """Create the judge pipeline; it is run by name, on what evaluation wrote."""
    return _ask() + _sum_up() + create_judge_drawing()


def _ask() -> Pipeline:
    return Pipeline(
        [
            Node(
                func=nodes.draw_pairs,
                inputs=["benchmarks", "predictions", "params:judge.draw"],
                outputs="judge_pairs",
                name="draw_pairs",
            ),
            Node(
                func=nodes.ask_judges,
                inputs=["judge_pairs", "judge_prompt", "judge_llm", "judges", "params:judge.asking"],
                outputs=["judge_verdicts", "judgements_failed"],
                name="ask_judges",
            ),
            Node(
                func=nodes.judge_by_rule,
                inputs=["judge_pairs", "params:judge.asking"],
                outputs="rule_judgements",
                name="judge_by_rule",
            ),
            Node(
                func=nodes.accept_judgements,
                inputs=["judge_verdicts", "judgements_failed", "rule_judgements", "params:judge.asking"],
                outputs="judgements",
                name="accept_judgements",
            ),
            Node(
                func=nodes.export_label_sheet,
                inputs=["judge_pairs", "params:judge.sheet"],
                outputs="human_labels_sheet",
                name="export_label_sheet",
            ),
            Node(
                func=nodes.read_human_labels,
                inputs=["human_labels", "judge_pairs"],
                outputs="human_judgements",
                name="read_human_labels",
            ),
        ]
    )


def _sum_up() -> Pipeline:
    return Pipeline(
        [
            Node(
                func=nodes.combine_orders,
                inputs=["judge_pairs", "judgements", "human_judgements"],
                outputs="judge_outcomes",
                name="combine_orders",
            ),
            Node(
                func=nodes.report_judging,
                inputs=["judge_outcomes", "params:judge.report"],
                outputs=["judge_results", "judge_lengths", "judge_agreement"],
                name="report_judging",
            ),
        ]
    )
