"""The nodes of optimal facet selection, in the order rows pass them; each family lives in a file of its own."""

from clarilm_kedro.pipelines.dropping import collect_dropped_questions
from clarilm_kedro.pipelines.ofs.annotation import accept_annotations, annotate_optimal_facet
from clarilm_kedro.pipelines.ofs.answers import accept_answers, answer_questions, look_up_log_answers
from clarilm_kedro.pipelines.ofs.candidates import build_candidates
from clarilm_kedro.pipelines.ofs.data_summary import summarise_data
from clarilm_kedro.pipelines.ofs.examples import clean_in3_train, collect_examples
from clarilm_kedro.pipelines.ofs.leakage import check_leakage, find_leakage
from clarilm_kedro.pipelines.ofs.preference_statistics import summarise_preferences
from clarilm_kedro.pipelines.ofs.preferences import build_preferences, build_training_tables
from clarilm_kedro.pipelines.ofs.seeds import accept_seed_questions, judge_first_questions, select_first_questions
from clarilm_kedro.pipelines.ofs.source_flow import count_source_flow, draw_source_flow
from clarilm_kedro.pipelines.ofs.splits import assemble_questions
from clarilm_kedro.pipelines.ofs.synthesis import (
    accept_synthetic_questions,
    plan_synthesis,
    synthesize_questions,
    tune_clarification,
)

__all__ = [
    "accept_annotations",
    "accept_answers",
    "accept_seed_questions",
    "accept_synthetic_questions",
    "annotate_optimal_facet",
    "answer_questions",
    "assemble_questions",
    "build_candidates",
    "build_preferences",
    "build_training_tables",
    "check_leakage",
    "clean_in3_train",
    "collect_dropped_questions",
    "collect_examples",
    "count_source_flow",
    "draw_source_flow",
    "find_leakage",
    "judge_first_questions",
    "look_up_log_answers",
    "plan_synthesis",
    "select_first_questions",
    "summarise_data",
    "summarise_preferences",
    "synthesize_questions",
    "tune_clarification",
]
