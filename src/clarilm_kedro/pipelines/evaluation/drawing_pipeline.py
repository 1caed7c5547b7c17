"""The parts of pipelines that draw: curves and figures of an evaluation, and those of a judge."""

from kedro.pipeline import Node, Pipeline

from clarilm_kedro.pipelines.evaluation import drawing


def create_drawing() -> Pipeline:
    """Create the part of the evaluation that makes curves, figures, LaTeX, the paper view and the browser."""
    return Pipeline(
        [
            Node(
                func=drawing.sweep_thresholds,
                inputs=["benchmarks", "predictions", "params:evaluation.curves"],
                outputs=["decision_curves", "reliability", "decision_summary"],
                name="sweep_thresholds",
            ),
            Node(
                func=drawing.draw_decisions,
                inputs=["row_scores", "category_results", "params:evaluation.report"],
                outputs=["confusion_figure", "category_figure"],
                name="draw_decisions",
            ),
            Node(
                func=drawing.draw_comparisons,
                inputs="comparison_matrix",
                outputs="matrix_figure",
                name="draw_comparisons",
            ),
            Node(
                func=drawing.draw_curves,
                inputs=["decision_curves", "reliability", "decision_summary", "params:evaluation.curves"],
                outputs=["ask_rate_figure", "ranking_figure", "reliability_figure", "cost_figure"],
                name="draw_curves",
            ),
            Node(
                func=drawing.write_figures_page,
                inputs=["params:evaluation.report", *drawing.FIGURES],
                outputs="figures_page",
                name="write_figures_page",
            ),
            Node(
                func=drawing.write_results_latex,
                inputs="results_table",
                outputs="results_latex",
                name="write_results_latex",
            ),
            Node(
                func=drawing.write_paper_view,
                inputs=["results_table", "quality_floors"],
                outputs="results_paper_view",
                name="write_paper_view",
            ),
            Node(
                func=drawing.browse_examples,
                inputs=["benchmarks", "predictions", "row_scores", "params:evaluation.browser"],
                outputs="examples_browser",
                name="browse_examples",
            ),
        ]
    )


def create_judge_drawing() -> Pipeline:
    """Create what a judge's results are drawn with: Figure 4, and the browser with verdicts.

    It is a part of the pipeline that makes ``judge_results`` and ``judgements``. The browser with verdicts is a dataset
    of its own: a dataset has one maker, and the run without a judge has its browser already.
    """
    return Pipeline(
        [
            Node(
                func=drawing.draw_judge_figure,
                inputs="judge_results",
                outputs="judge_figure",
                name="draw_judge_figure",
            ),
            Node(
                func=drawing.browse_judged_examples,
                inputs=["benchmarks", "predictions", "row_scores", "judgements", "params:evaluation.browser"],
                outputs="judged_examples_browser",
                name="browse_judged_examples",
            ),
        ]
    )
