import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.assistant import Assistant, AssistantOptions, AssistantSpec
from clarilm_kedro.registry.package import AssistantPackage
from clarilm_kedro.registry.registering import EXAMPLE, RegistryOptions, register_assistant
from clarilm_kedro.registry.resolving import registered_assistant

OPTIONS = AssistantOptions(max_new_tokens=8, batch_size=4)
CHAMPION = "models:/clarilm@champion"
QUESTIONS = [EXAMPLE, "", "What does SSD stand for?"]


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("tracking")
    before, uri = mlflow.get_tracking_uri(), f"sqlite:///{folder}/mlflow.db"
    mlflow.set_tracking_uri(uri)
    mlflow.create_experiment("registry", artifact_location=str(folder / "artifacts"))
    mlflow.set_experiment("registry")
    yield uri
    mlflow.set_tracking_uri(before)


def register(package: AssistantPackage, name: str | None = "clarilm", alias: str = "champion") -> dict[str, Any]:
    with mlflow.start_run():
        return register_assistant(package, RegistryOptions(name=name, alias=alias), OPTIONS)


@pytest.fixture(scope="module")
def registered(tracking: str, tiny_assistant: AssistantSpec) -> dict[str, Any]:
    card = "---\nlicense: other\n---\n\n# Card\n" + "A line.\n" * 2000
    return register(AssistantPackage(tiny_assistant, card, {"teacher": "t"}))


def test_it_is_registered_with_signature_example_alias_and_card(registered: dict[str, Any], tmp_path: Path) -> None:
    assert (registered["status"], registered["model_uri"]) == ("registered", CHAMPION)
    version = mlflow.MlflowClient().get_model_version_by_alias("clarilm", "champion")
    assert version.tags["teacher"] == "t"
    assert version.description.startswith("# Card")
    assert len(version.description) <= 5000
    info = mlflow.models.get_model_info(CHAMPION)
    assert [column.name for column in info.signature.inputs] == ["question"]
    assert [column.name for column in info.signature.outputs] == ["asked", "p_ask", "threshold", "text", "error"]
    folder = Path(mlflow.artifacts.download_artifacts(CHAMPION, dst_path=str(tmp_path)))
    assert json.loads((folder / "input_example.json").read_text())["inputs"]["data"] == [[EXAMPLE]]
    assert (folder / "artifacts" / "README.md").read_text().startswith("---\nlicense")
    assert not list(folder.rglob("*.pkl"))
    assert "+" not in (folder / "requirements.txt").read_text()


def test_the_loaded_model_replies_as_the_assistant(registered: dict[str, Any], tiny_assistant: AssistantSpec) -> None:
    expected = Assistant(tiny_assistant, OPTIONS).reply(QUESTIONS)
    model = mlflow.pyfunc.load_model(CHAMPION)
    replies = model.predict(pd.DataFrame({"question": QUESTIONS}))
    assert list(replies["text"]) == [each.text for each in expected]
    assert list(replies["error"]) == ["", "The question is empty.", ""]
    assert replies["p_ask"][1] is None
    assert replies["asked"][0] is (replies["p_ask"][0] >= 0.25)
    never = model.predict(pd.DataFrame({"question": QUESTIONS[:1]}), params={"threshold": 1.0})
    assert never["asked"][0] is False


def test_the_same_model_gets_no_second_version(registered: dict[str, Any], tiny_assistant: AssistantSpec) -> None:
    again = register(AssistantPackage(tiny_assistant, "another card"), alias="newest")
    assert (again["status"], again["version"]) == ("unchanged", registered["version"])
    other = register(AssistantPackage(replace(tiny_assistant, threshold=0.5)), alias="newest")
    assert (other["status"], other["version"]) == ("registered", registered["version"] + 1)
    champion = mlflow.MlflowClient().get_model_version_by_alias("clarilm", "champion")
    assert int(champion.version) == registered["version"]


def test_what_is_not_registered_says_why(tracking: str, tiny_assistant: AssistantSpec) -> None:
    assert "registry.name is null" in register(AssistantPackage(tiny_assistant), name=None)["reason"]
    assert register(AssistantPackage(None, reason="Too few pairs."))["reason"] == "Too few pairs."
    untracked = register_assistant(AssistantPackage(tiny_assistant), RegistryOptions(name="clarilm"), OPTIONS)
    assert untracked == {"status": "skipped", "reason": "This run is not tracked by MLflow."}


def test_it_is_found_by_its_address(registered: dict[str, Any], tracking: str, tiny_assistant: AssistantSpec) -> None:
    found = registered_assistant(CHAMPION, tracking, tiny_assistant.base_model.cache_dir)
    assert (found.base_model, found.threshold) == (tiny_assistant.base_model, 0.25)
    options = AssistantOptions(max_new_tokens=4, batch_size=1)
    assert Assistant(found, options).reply(QUESTIONS) == Assistant(tiny_assistant, options).reply(QUESTIONS)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("models:/clarilm@champoin", "Known: models:/clarilm@champion"),
        ("models:/claril@champion", "cannot be had"),
        ("models:/clarilm/99", "cannot be had"),
        ("nonsense", "cannot be had"),
    ],
)
def test_an_unknown_address_is_named(registered: dict[str, Any], tracking: str, uri: str, said: str) -> None:
    with pytest.raises(ClarilmError, match=said):
        registered_assistant(uri, tracking, Path())


def test_a_missing_registry_is_named_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(ClarilmError, match=r"no model registry yet: .*kedro run"):
        registered_assistant(CHAMPION, f"sqlite:///{tmp_path}/mlflow.db", Path())
    assert not list(tmp_path.iterdir())
    with pytest.raises(ClarilmError, match="the global `tracking` is false"):
        registered_assistant(CHAMPION, "", Path())


def test_a_model_of_another_kind_is_refused(tracking: str, tmp_path: Path) -> None:
    (tmp_path / "MLmodel").write_text("flavors: {sklearn: {}}\n")
    with pytest.raises(ClarilmError, match="no model that clarilm_kedro registered"):
        registered_assistant(str(tmp_path), tracking, Path())


def test_a_chat_template_file_travels_along(tracking: str, tiny_assistant: AssistantSpec, tmp_path: Path) -> None:
    template = tmp_path / "mine.jinja"
    template.write_text("{% for m in messages %}{{ m.content }}\n{% endfor %}")
    base = tiny_assistant.base_model.model_copy(update={"chat_template": str(template)})
    register(AssistantPackage(replace(tiny_assistant, base_model=base)), name="templated")
    template.unlink()
    found = registered_assistant("models:/templated@champion", tracking, Path())
    assert Path(found.base_model.chat_template).read_text().startswith("{% for m in messages")
    assert len(mlflow.pyfunc.load_model("models:/templated@champion").predict(pd.DataFrame({"question": ["x"]}))) == 1


@pytest.mark.slow
def test_a_server_answers_over_http(registered: dict[str, Any], tracking: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mlflow_command = Path(sys.executable).with_name("mlflow")
    program = [str(mlflow_command), "models", "serve", "-m", CHAMPION, "--env-manager", "local"]
    environment = {"MLFLOW_TRACKING_URI": tracking, "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    server = subprocess.Popen([*program, "-h", "127.0.0.1", "-p", str(port)], env=environment, start_new_session=True)
    try:
        body = {"dataframe_records": [{"question": each} for each in QUESTIONS]}
        replies = _asked(f"http://127.0.0.1:{port}", body, server)["predictions"]
    finally:
        os.killpg(server.pid, signal.SIGTERM)  # the command has started another process, which serves
        server.wait(timeout=30)
    expected = mlflow.pyfunc.load_model(CHAMPION).predict(pd.DataFrame({"question": QUESTIONS}))
    assert [each["text"] for each in replies] == list(expected["text"])
    nothing = dict.fromkeys(("asked", "p_ask", "threshold"))
    assert replies[1] == {**nothing, "text": "", "error": "The question is empty."}


def _asked(url: str, body: dict[str, Any], server: "subprocess.Popen[bytes]") -> dict[str, Any]:
    request = urllib.request.Request(
        f"{url}/invocations", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    for _ in range(240):
        assert server.poll() is None, "the server ended"
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return dict(json.loads(answer.read(), parse_constant=pytest.fail))
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.5)
    pytest.fail("the server did not come up")
