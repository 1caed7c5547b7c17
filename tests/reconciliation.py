"""Do the counts of a finished run add up, from sessions to preference rows?"""

import json
from pathlib import Path

import pandas as pd


class Store:
    """The tables of a finished run, by their names."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __getitem__(self, name: str) -> pd.DataFrame:
        (found,) = (path for path in self._folder.glob(f"0*/{name}.parquet"))
        return pd.read_parquet(found)

    def calls_failed(self, name: str) -> pd.DataFrame:
        failures = self[name]
        return failures[failures["kind"] != "rejected"]

    def without_first_question(self) -> int:
        """Sessions that start mid-chat, or whose first question is longer than the default of ofs.seeds.max_chars."""
        sessions = self["sessions"]
        return int((sessions["starts_mid_chat"] | (sessions["first_question"].str.len() > 1000)).sum())

    def dropped(self, *stages: str) -> int:
        return int(self["dropped_questions"]["stage"].isin(stages).sum())


def unbalanced(folder: Path) -> list[str]:
    """Name every sum that does not add up; none where all do.

    Args:
        folder: The global ``store`` of a run of ingestion, cfd and ofs.
    """
    store = Store(folder)
    sums = {
        "sessions read = kept + rejected": (
            len(store["conversations"]),
            len(store["sessions"]) + len(store["rejected_sessions"]),
        ),
        "clarifications = instances in replies": (
            len(store["clarifications"]),
            sum(len(json.loads(each)) for each in store["extraction_replies"]["clarifications"]),
        ),
        "clarifications = FM-LOG's + unused": (
            set(store["clarifications"]["clarification_id"]),
            {name for names in store["fm_log_examples"]["clarification_ids"] for name in names}
            | set(store["fm_log_examples_dropped"]["row_id"]),
        ),
        "sessions = first questions + dropped + without a first question": (
            len(store["sessions"]),
            len(store["first_questions"]) + store.dropped("select_first_questions") + store.without_first_question(),
        ),
        "first questions = judged + failed": (
            len(store["first_questions"]),
            len(store["first_question_judgements"]) + len(store.calls_failed("seed_questions_failed")),
        ),
        "judged = Q^L + dropped": (
            len(store["first_question_judgements"]),
            len(store["seed_questions"]) + store.dropped("accept_seed_questions"),
        ),
        "written = tuned + failed": (
            len(store["written_questions"]),
            len(store["tuned_questions"]) + len(store.calls_failed("tuning_failed")),
        ),
        "tuned = Q^G + dropped": (
            len(store["tuned_questions"]),
            len(store["synthetic_questions"]) + store.dropped("accept_synthetic_questions"),
        ),
        "Q^L + Q^G = Q + dropped": (
            len(store["seed_questions"]) + len(store["synthetic_questions"]),
            len(store["questions"]) + store.dropped("assemble_questions"),
        ),
        "Q = FM-LLM's lists + failed": (
            len(store["questions"]),
            len(store["llm_facet_replies"]) + len(store.calls_failed("llm_facets_failed")),
        ),
        "FM-LLM's candidates = facets in its lists": (
            len(store["llm_facets"]),
            sum(len(json.loads(each)) for each in store["llm_facet_replies"]["facets"]),
        ),
        "FM-LOG: drawn = kept + set aside": (
            int(store["fm_log_generations"]["drawn"].sum()),
            int(store["fm_log_generations"].drop(columns=["model", "questions", "drawn"]).sum().sum()),
        ),
        "FM-LOG's candidates = kept": (len(store["log_facets"]), int(store["fm_log_generations"]["kept"].sum())),
        "facets + merges = candidates of both": (
            len(store["facets"]) + int((store["facet_merges"]["method"] != "vetoed").sum()),
            len(store["llm_facets"]) + len(store["log_facets"]),
        ),
        "Q = answers + failed": (len(store["questions"]), len(store["answers"]) + len(store["answers_failed"])),
        "Q = annotated + failed": (
            set(store["questions"]["question_id"]),
            set(store["annotations"]["question_id"])
            | {each.split("#")[0] for each in store["annotations_failed"]["row_id"]},
        ),
        "annotations = train + valid + test": (
            len(store["annotations"]),
            len(store["sft_train"]) + len(store["validation"]) + len(store["our_test"]),
        ),
        "preferences have an annotation": (
            set(store["preferences"]["question_id"]) - set(store["annotations"]["question_id"]),
            set(),
        ),
        "pairs of chosen questions against the answer": (
            int((store["preferences"]["type"] == "clarify>answer").sum()),
            int((store["annotations"]["choice_kind"] == "ask").sum()),
        ),
        "DPO's pairs are preferences": (
            set(store["dpo_train"]["row_id"]) - set(store["preferences"]["preference_id"]),
            set(),
        ),
    }
    return [f"{name}: {left} != {right}" for name, (left, right) in sums.items() if left != right]
