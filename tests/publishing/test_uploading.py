"""Uploads with the real huggingface_hub client against a loopback stand-in of the hub."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_stand_in import HubStandIn, Repo

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.publishing.files import RepoFile, Upload
from clarilm_kedro.publishing.uploading import checked_repo_id, push, write_token

CARD = RepoFile("README.md", b"---\nlicense: other\n---\n# Data\n")


@pytest.fixture(autouse=True)
def client(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client as it talks to a hub without Xet, and without its waits between retries."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)


@pytest.fixture
def hub() -> Iterator[HubStandIn]:
    with HubStandIn() as server:
        yield server


@pytest.fixture
def data(tmp_path: Path) -> Upload:
    (tmp_path / "big.parquet").write_bytes(os.urandom(300_000))
    return Upload("dataset", (RepoFile("sft/train.parquet", tmp_path / "big.parquet"), CARD))


def send(hub: HubStandIn, upload: Upload, token: str = "hf_right", **options: object) -> str:
    return push(upload, "me/clarilm", token=token, endpoint=hub.url, **options)  # type: ignore[arg-type]


def test_everything_arrives_in_a_private_repository(hub: HubStandIn, data: Upload, tmp_path: Path) -> None:
    url = send(hub, data)
    repo = hub.repos["dataset", "me/clarilm"]
    assert repo.private
    assert repo.files == {"README.md": CARD.content, "sft/train.parquet": (tmp_path / "big.parquet").read_bytes()}
    assert repo.lfs == {"sft/train.parquet"}
    assert url == f"{hub.url}/datasets/me/clarilm/commit/{repo.commits[0]}"


def test_a_model_and_a_data_set_of_one_name_are_two_repositories(hub: HubStandIn, data: Upload) -> None:
    send(hub, data)
    send(hub, Upload("model", (RepoFile("adapter_model.safetensors", b"w" * 1000), CARD)), public=True)
    assert set(hub.repos) == {("dataset", "me/clarilm"), ("model", "me/clarilm")}
    assert not hub.repos["model", "me/clarilm"].private


def test_the_same_again_sends_and_commits_nothing(hub: HubStandIn, data: Upload) -> None:
    first = send(hub, data)
    puts = hub.count["put"]
    assert send(hub, data) == first
    assert (hub.count["put"], len(hub.repos["dataset", "me/clarilm"].commits)) == (puts, 1)


def test_files_of_an_earlier_upload_go_and_those_of_others_stay(hub: HubStandIn, data: Upload) -> None:
    hub.repos["dataset", "me/clarilm"] = Repo(
        True, {"dpo/train.parquet": b"old", "mine.parquet": b"m", "a/b.txt": b"t"}
    )
    send(hub, data)
    assert set(hub.repos["dataset", "me/clarilm"].files) == {
        "README.md",
        "sft/train.parquet",
        "mine.parquet",
        "a/b.txt",
    }


def test_a_public_repository_is_not_written_to_unasked(hub: HubStandIn, data: Upload) -> None:
    hub.repos["dataset", "me/clarilm"] = Repo(private=False)
    with pytest.raises(ClarilmError, match="is public: everybody would see"):
        send(hub, data)
    assert hub.count["put"] == 0
    send(hub, data, public=True)
    assert hub.repos["dataset", "me/clarilm"].commits


@pytest.mark.parametrize(
    ("fail", "said"),
    [
        ({"create": [403]}, "may not write to me/clarilm"),
        ({"commit": [403]}, "may not write to me/clarilm"),
        ({"commit": [409]}, "changed by somebody else"),
        ({"commit": [412]}, "changed by somebody else"),
        ({"commit": [413]}, "larger than the hub takes"),
        ({"validate": [500]}, "status 500"),
        ({"batch": [401]}, "did not accept the token"),
        ({"preupload": [503] * 9}, "status 503"),
        ({"commit": [0]}, "cannot be reached, or the connection broke"),
    ],
)
def test_a_refusal_is_a_sentence_without_the_token(
    hub: HubStandIn, data: Upload, fail: dict[str, list[int]], said: str
) -> None:
    hub.fail = fail
    with pytest.raises(ClarilmError, match=said) as caught:
        send(hub, data)
    assert "hf_right" not in str(caught.value)
    hub.fail = {}
    assert send(hub, data).startswith(hub.url)


def test_a_wrong_token_is_told_where_to_put_a_right_one(hub: HubStandIn, data: Upload) -> None:
    with pytest.raises(ClarilmError, match="write access") as caught:
        send(hub, data, token="hf_wrong")
    assert "hf_wrong" not in str(caught.value)
    assert not hub.repos


def test_an_interrupted_upload_goes_on(hub: HubStandIn, tmp_path: Path) -> None:
    files = [RepoFile(f"sft/{name}.parquet", os.urandom(200_000)) for name in ("train", "validation")]
    upload = Upload("dataset", (*files, CARD))
    hub.fail = {"commit": [0]}
    with pytest.raises(ClarilmError, match="Run the same command again"):
        send(hub, upload)
    assert hub.count["put"] == 2
    send(hub, upload)
    assert hub.count["put"] == 2  # what arrived is not sent again
    assert len(hub.repos["dataset", "me/clarilm"].files) == 3


def test_a_connection_that_breaks_in_a_file_is_tried_again(hub: HubStandIn, data: Upload, tmp_path: Path) -> None:
    hub.fail = {"put": [0, 0]}
    send(hub, data)
    repo = hub.repos["dataset", "me/clarilm"]
    assert repo.files["sft/train.parquet"] == (tmp_path / "big.parquet").read_bytes()


def test_no_server_is_a_sentence(data: Upload) -> None:
    with pytest.raises(ClarilmError, match=r"http://127\.0\.0\.1:9 cannot be reached.*--endpoint"):
        push(data, "me/clarilm", token="hf_right", endpoint="http://127.0.0.1:9")


def test_offline_is_a_sentence(hub: HubStandIn, data: Upload, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ClarilmError, match="HF_HUB_OFFLINE"):
        send(hub, data)


@pytest.mark.parametrize("bad", ["clarilm", "a/b/c", "me/cla--rilm", "me/.x", "me/x y", ""])
def test_what_is_no_id_is_refused(bad: str) -> None:
    with pytest.raises(ClarilmError, match=r"OWNER/NAME|not the id"):
        checked_repo_id(bad)
    assert checked_repo_id("me/clarilm-7b") == "me/clarilm-7b"


def test_a_token_comes_from_the_credentials_or_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
    with pytest.raises(ClarilmError, match="there is none"):
        write_token(None)
    assert write_token("hf_given") == "hf_given"
    monkeypatch.setenv("HF_TOKEN", "hf_env")
    assert write_token(None) == "hf_env"
