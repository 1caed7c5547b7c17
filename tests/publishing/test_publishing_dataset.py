"""Which rows and columns of a run are laid out for publication."""

import io

import pandas as pd
import pytest
import yaml
from published_tables import ANSWERS, CARD_TEXT, QUESTIONS, tables

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.publishing.dataset import TABLES, dataset_upload
from clarilm_kedro.publishing.files import CARD, Upload, split_card


def read(upload: Upload, path: str) -> pd.DataFrame:
    content = next(file.content for file in upload.files if file.path == path)
    assert isinstance(content, bytes)
    return pd.read_parquet(io.BytesIO(content))


def test_only_the_named_columns_go_out() -> None:
    upload = dataset_upload(tables(), QUESTIONS, ANSWERS, CARD_TEXT)
    assert list(read(upload, "sft/train.parquet")) == ["row_id", "question", "asks", "text", "origin", "teacher"]
    columns = set(read(upload, "preferences/train.parquet"))
    assert {"question", "chosen", "rejected"} <= columns
    assert not {"prompt", "request_key"} & columns
    assert read(upload, "our_test/test.parquet")["references"][0].tolist() == ["Which?"]


def test_replies_of_logs_and_rows_of_others_stay() -> None:
    upload = dataset_upload(tables(), QUESTIONS, ANSWERS, CARD_TEXT)
    assert read(upload, "sft/train.parquet")["row_id"].tolist() == ["log-train", "made-train"]
    assert read(upload, "dpo/train.parquet")["row_id"].tolist() == ["p1", "p2", "p3"]
    assert not any(file.path == "preferences/validation.parquet" for file in upload.files)
    told = "\n".join(upload.left_out)
    assert "sft_train: 1 of 4 rows, which hold a reply of the log" in told
    assert "sft_train: 1 of 4 rows, which are of other data sets" in told
    assert "sessions, rejected_sessions, conversations: whole private conversations" in told


def test_without_logs_no_question_of_a_log_is_left() -> None:
    upload = dataset_upload(tables(), QUESTIONS, ANSWERS, CARD_TEXT, logs=False)
    assert read(upload, "sft/train.parquet")["row_id"].tolist() == ["made-train"]
    assert read(upload, "dpo/train.parquet")["row_id"].tolist() == ["p2", "p3"]
    assert read(upload, "preferences/train.parquet")["question_id"].tolist() == ["made-train"]
    assert read(upload, "our_test/test.parquet")["item_id"].tolist() == ["made-test"]
    assert upload.warnings == ()
    assert "questions that users wrote" in dataset_upload(tables(), QUESTIONS, ANSWERS, CARD_TEXT).warnings[0]


def test_a_row_whose_question_is_not_known_stays() -> None:
    given = tables()
    del given["preferences"]
    upload = dataset_upload(given, QUESTIONS, ANSWERS, CARD_TEXT)
    assert not any(file.path.startswith(("dpo/", "preferences/")) for file in upload.files)


def test_the_card_lists_the_splits_and_keeps_the_rest() -> None:
    upload = dataset_upload(tables(), QUESTIONS, ANSWERS, CARD_TEXT)
    card = next(file.content for file in upload.files if file.path == CARD)
    assert isinstance(card, bytes)
    head, text = split_card(card.decode(), "card")
    assert head["license"] == "other"
    assert {entry["config_name"]: entry["data_files"] for entry in head["configs"]}["preferences"] == [
        {"split": "test", "path": "preferences/test.parquet"},
        {"split": "train", "path": "preferences/train.parquet"},
    ]
    assert text == "# Data\n\nThe licence of WildChat is ODC-BY.\n"
    assert upload.licence == ["license: other", "The licence of WildChat is ODC-BY."]


@pytest.mark.parametrize("card", ["# Data", "---\na: 1\n# Data", "", "---\n[1, 2]\n---\n", "---\na: [\n---\n"])
def test_a_card_without_a_head_is_refused(card: str) -> None:
    with pytest.raises(ClarilmError, match="the data card"):
        dataset_upload(tables(), QUESTIONS, ANSWERS, card)


def test_nothing_to_publish_is_an_error() -> None:
    with pytest.raises(ClarilmError, match="no row"):
        dataset_upload({}, QUESTIONS, ANSWERS, CARD_TEXT)


def test_every_published_table_is_in_the_catalog(project) -> None:
    listed = yaml.safe_load((project / "conf" / "base" / "ofs" / "catalog.yml").read_text())
    assert {table.dataset for table in TABLES} <= set(listed)


def test_load_dataset_gets_the_splits(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datasets import load_dataset

    for file in dataset_upload(tables(), QUESTIONS, ANSWERS, CARD_TEXT).files:
        (tmp_path / "repo" / file.path).parent.mkdir(parents=True, exist_ok=True)
        assert isinstance(file.content, bytes)
        (tmp_path / "repo" / file.path).write_bytes(file.content)
    loaded = load_dataset(str(tmp_path / "repo"), "sft", cache_dir=str(tmp_path / "cache"))
    assert {name: part.num_rows for name, part in loaded.items()} == {"train": 2, "validation": 1}
    assert loaded["train"][0]["question"] == "question of log-train"
