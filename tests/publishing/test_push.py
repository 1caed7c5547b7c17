"""`kedro clarilm push` in a project, against a loopback stand-in of the hub."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from hub_stand_in import HubStandIn
from published_tables import ANSWERS, CARD_TEXT, QUESTIONS, tables

from clarilm_kedro.commands import commands

TOKEN = "hf_right"


@pytest.fixture
def hub() -> Iterator[HubStandIn]:
    with HubStandIn(TOKEN) as server:
        yield server


@pytest.fixture
def made(clone: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in which a run left its tables, its adapter and its cards."""
    from huggingface_hub import constants

    monkeypatch.chdir(clone)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(clone / "no_login"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
    data = clone / "data"
    for folder in ("03_primary", "04_feature", "05_model_input", "06_models/clarilm", "08_reporting"):
        (data / folder).mkdir(parents=True)
    for name, rows in tables().items():
        rows.to_parquet(data / "05_model_input" / f"{name}.parquet")
    QUESTIONS.to_parquet(data / "03_primary" / "questions.parquet")
    ANSWERS.to_parquet(data / "04_feature" / "answers.parquet")
    (data / "05_model_input" / "sessions.parquet").write_bytes(b"private")
    adapter = data / "06_models" / "clarilm"
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "packaged:smollm2"}))
    (adapter / "adapter_model.safetensors").write_bytes(b"w" * 5000)
    (adapter / "report.json").write_text(json.dumps({"status": "trained"}))
    (data / "06_models" / "calibrations.json").write_text(json.dumps({"clarilm": {"threshold": 0.7}}))
    entry = "{card}:\n  type: text.TextDataset\n  filepath: data/08_reporting/{card}.md\n"
    (clone / "conf" / "local" / "catalog_cards.yml").write_text(
        "".join(entry.format(card=card) for card in ("model_card", "data_card"))
    )
    for card in ("model_card", "data_card"):
        (data / "08_reporting" / f"{card}.md").write_text(CARD_TEXT)
    return clone


def push(*arguments: str) -> Result:
    return CliRunner().invoke(commands, ["clarilm", "push", *arguments])


def test_without_yes_everything_is_told_and_nothing_is_sent(made: Path, hub: HubStandIn) -> None:
    told = push("me/clarilm", "--endpoint", hub.url)
    assert told.exit_code == 0, told.output
    for said in (
        "model me/clarilm (private if it is made now)",
        "adapter_model.safetensors  5,000",
        "dataset me/clarilm",
        "sft/train.parquet",
        "licence of WildChat is ODC-BY",
        "whole private conversations",
        "--without-logs leaves them out",
        "only this project understands",
        "Nothing was uploaded. Add --yes",
    ):
        assert said in told.output, (said, told.output)
    assert hub.count.total() == 0
    assert hub.seen_headers == []


def test_yes_uploads_both_repositories_with_the_token_of_the_credentials(made: Path, hub: HubStandIn) -> None:
    (made / "conf" / "local" / "credentials.yml").write_text(f"huggingface: {{token: {TOKEN}}}\n")
    done = push("me/clarilm", "--endpoint", hub.url, "--yes")
    assert done.exit_code == 0, done.output
    assert TOKEN not in done.output
    model, data = (hub.repos[kind, "me/clarilm"] for kind in ("model", "dataset"))
    assert model.private
    assert data.private
    assert json.loads(model.files["calibration.json"]) == {"threshold": 0.7}
    assert set(data.files) == {
        "README.md",
        *(f"sft/{split}.parquet" for split in ("train", "validation")),
        *(f"preferences/{split}.parquet" for split in ("train", "test")),
        "dpo/train.parquet",
        "our_test/test.parquet",
    }
    assert b"private" not in b"".join(data.files.values())


def test_one_type_without_logs(made: Path, hub: HubStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUGGINGFACE_API_KEY", TOKEN)
    done = push("me/data", "--type", "dataset", "--without-logs", "--public", "--endpoint", hub.url, "--yes")
    assert done.exit_code == 0, done.output
    assert list(hub.repos) == [("dataset", "me/data")]
    repo = hub.repos["dataset", "me/data"]
    assert not repo.private
    texts = [str(pd.read_parquet(io.BytesIO(repo.files[path])).to_dict()) for path in sorted(repo.lfs)]
    assert len(texts) == 6
    assert not any("log-" in text for text in texts)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("me/clarilm", "--yes"), "Uploading needs a token and there is none"),
        (("clarilm",), "names no owner"),
        (("me/clarilm/x",), "is not the id of a Hugging Face repository"),
        (
            ("me/clarilm", "--adapter", "clarilm_sft_adapter"),
            "There is no clarilm_sft_adapter yet: `kedro run --pipeline=",
        ),
        (("me/clarilm", "--adapter", "nothing"), "There is no nothing yet: no pipeline makes"),
        (("me/clarilm", "--type", "weights"), "Invalid value"),
    ],
)
def test_bad_input_is_a_sentence(made: Path, hub: HubStandIn, arguments: tuple[str, ...], said: str) -> None:
    done = push(*arguments, "--endpoint", hub.url)
    assert done.exit_code != 0
    assert said in done.output
    assert hub.count.total() == 0


def test_what_is_missing_is_named(made: Path, hub: HubStandIn) -> None:
    for path in ("08_reporting/model_card.md", "06_models/clarilm/adapter_config.json"):
        (made / "data" / path).rename(made / "kept")
        done = push("me/clarilm", "--type", "model", "--endpoint", hub.url)
        assert done.exit_code == 1
        assert {"model_card.md": "There is no model_card yet", "adapter_config.json": "There is no adapter to upload"}[
            Path(path).name
        ] in done.output
        (made / "kept").rename(made / "data" / path)


def test_a_wrong_token_stays_unsaid(made: Path, hub: HubStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret_and_wrong")
    done = push("me/clarilm", "--endpoint", hub.url, "--yes")
    assert done.exit_code == 1
    assert "did not accept the token" in done.output
    assert "hf_secret_and_wrong" not in done.output
