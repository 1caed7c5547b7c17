"""Published rows: read, held out by clusters, cleaned of test questions, in the tables that ofs else makes."""

from kedro.pipeline import Node, Pipeline

from clarilm_kedro.pipelines.held_out import collect_benchmark_questions
from clarilm_kedro.pipelines.ofs.examples import clean_in3_train
from clarilm_kedro.pipelines.ofs.leakage import check_leakage
from clarilm_kedro.pipelines.published import nodes

_OF_OFS = {
    "benchmark_questions",
    "sft_train",
    "dpo_train",
    "validation",
    "our_test",
    "leakage",
    "leakage_summary",
    "in3_train_clean",
    "in3_train_dropped",
    "in3_train_leaks",
    "fm_log_adapter",
    "log_statistics",
}


def create_pipeline(**_: object) -> Pipeline:
    """Create the pipeline that stands in for ofs; it is run by name only, before training and evaluation."""
    inner = Pipeline(
        [
            Node(
                func=collect_benchmark_questions,
                inputs=["in3_test", "clamber"],
                outputs="benchmark_questions",
                name="collect_benchmark_questions",
            ),
            Node(
                func=nodes.read_published_rows,
                inputs=["published_train", "published_preferences", "published_test"],
                outputs=["rows", "pairs", "tests"],
                name="read_published_rows",
            ),
            Node(
                func=nodes.split_published_rows,
                inputs=[
                    "rows",
                    "pairs",
                    "tests",
                    "benchmark_questions",
                    "params:ofs.split",
                    "params:ofs.clusters",
                    "params:ofs.leakage",
                ],
                outputs=["sft_train", "dpo_train", "validation", "our_test", "held_out", "dropped", "leakage"],
                name="split_published_rows",
            ),
            Node(func=check_leakage, inputs="leakage", outputs="leakage_summary", name="check_leakage"),
            Node(
                func=clean_in3_train,
                inputs=[
                    "in3_train",
                    "benchmark_questions",
                    "held_out",
                    "params:ofs.leakage",
                    "params:ofs.deduplication",
                ],
                outputs=["in3_train_clean", "in3_train_dropped", "in3_train_leaks"],
                name="clean_in3_train",
            ),
            Node(
                func=nodes.note_what_published_rows_lack,
                inputs=None,
                outputs=["fm_log_adapter", "log_statistics"],
                name="note_what_published_rows_lack",
            ),
        ]
    )
    return Pipeline(
        inner,
        namespace="published",
        inputs={name for name in inner.inputs() if not name.startswith("params:")},
        outputs=_OF_OFS,
        parameters={name for name in inner.inputs() if name.startswith("params:")},
    )
