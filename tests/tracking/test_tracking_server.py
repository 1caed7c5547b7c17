"""Reaching MLflow's store, or saying that it cannot be reached."""

import os
import time

import mlflow
import pytest

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.tracking.server import experiment_options, reaching, without_password


def test_a_server_that_is_not_there_is_told_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    store, started = "http://user:secret@127.0.0.1:1", time.monotonic()
    with (
        pytest.raises(ClarilmError, match=r"its store at http://127\.0\.0\.1:1.*Nothing was run") as told,
        reaching(store),
    ):
        mlflow.MlflowClient(store).get_experiment_by_name("clarilm")
    assert "secret" not in str(told.value)
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ
    assert time.monotonic() - started < 60  # MLflow's own patience is 4 minutes


def test_the_users_own_patience_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    with reaching("http://127.0.0.1:1"):
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "3"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "3"


def test_an_address_without_a_scheme_is_an_error_too() -> None:
    with pytest.raises(ClarilmError, match="its store at localhost:5000"), reaching("localhost:5000"):
        mlflow.MlflowClient("localhost:5000").get_experiment_by_name("clarilm")


def test_passwords_are_left_out() -> None:
    assert without_password("at https://u:p@w@host/x, said") == "at https://host/x, said"
    assert without_password("mail a@b.c to http://host") == "mail a@b.c to http://host"


def test_a_server_keeps_files_where_it_likes() -> None:
    config = {"create_experiment_kwargs": {"artifact_location": "mlruns", "tags": {"a": "b"}}}
    assert experiment_options(config, "http://host:5000") == {"tags": {"a": "b"}}
    assert experiment_options(config, "sqlite:////x/mlflow.db")["artifact_location"] == "mlruns"
    bucket = {"create_experiment_kwargs": {"artifact_location": "s3://bucket/x"}}
    assert experiment_options(bucket, "http://host:5000") == {"artifact_location": "s3://bucket/x"}
