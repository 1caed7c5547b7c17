"""What tests share: no telemetry, no network model hub, the real samples where they stand beside the project."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from project_copy import PROJECT, copy_of_the_project

os.environ.setdefault("KEDRO_DISABLE_TELEMETRY", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# A timing is never a test.
settings.register_profile("project", deadline=None)
settings.load_profile("project")


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's root."""
    return PROJECT


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real samples beside the project; they may not be shipped, so without them tests are skipped."""
    folder = PROJECT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real samples are not here (../shared/data)")
    return folder


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project that tests share, so that they leave nothing behind in the checkout."""
    return copy_of_the_project(tmp_path_factory.mktemp("workspace") / "clarilm")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of the project of the test's own, in which nothing has run yet."""
    return copy_of_the_project(tmp_path / "clone")
