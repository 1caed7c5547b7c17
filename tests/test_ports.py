"""A port that is taken is told in a sentence."""

import socket

import pytest

from clarilm_kedro.ports import main


def test_a_taken_port_is_told_and_a_free_one_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert main(str(port), "the MLflow UI", "mlflow") == 1
        said = capsys.readouterr().err
    assert said.startswith(f"Port {port} of 127.0.0.1 is taken: the MLflow UI may be running already")
    assert said.endswith(f"make mlflow MLFLOW_PORT={port + 1}\n")
    assert main(str(port), "the MLflow UI", "mlflow") == 0
    assert capsys.readouterr().err == ""
