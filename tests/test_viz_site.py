"""The static kedro-viz site: only the sample world's chats, no path of the machine, a clear end where it fails."""

import json
from pathlib import Path

import pandas as pd
import pytest

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.viz_site import _strip_paths, build_site


def sessions(data: Path, chat_ids: list[str]) -> Path:
    folder = data / "02_intermediate"
    folder.mkdir(parents=True)
    pd.DataFrame({"chat_id": chat_ids}).to_parquet(folder / "sessions.parquet")
    return data


def test_chats_of_other_logs_are_not_published(project: Path, tmp_path: Path) -> None:
    data = sessions(tmp_path / "data", ["sharegpt-nobody1", "wildchat-00000000000000000000000000000000"])
    with pytest.raises(ClarilmError, match="2 of the sessions"):
        build_site(project, data, tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_paths_are_taken_out_and_others_stop_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/home/somebody"))
    (tmp_path / "nodes").mkdir()
    file = tmp_path / "nodes" / "a"
    file.write_text(json.dumps({"filepath": f"{tmp_path}/copy/data/a.parquet", "root": f"{tmp_path}/copy"}))
    _strip_paths(tmp_path, {tmp_path / "copy"})
    assert json.loads(file.read_text()) == {"filepath": "data/a.parquet", "root": "."}
    file.write_text(json.dumps({"filepath": "/home/somebody/private/a"}))
    with pytest.raises(ClarilmError, match="would show a path"):
        _strip_paths(tmp_path, {tmp_path / "copy"})


def test_a_failing_kedro_viz_is_told_and_nothing_is_replaced(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kedro-viz ends with 0 also where it could not build."""
    kedro = tmp_path / "bin" / "kedro"
    kedro.parent.mkdir()
    kedro.write_text("#!/bin/sh\necho 'no graph today'\n")
    kedro.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(kedro.with_name("python")))
    site = tmp_path / "site"
    site.mkdir()
    (site / "old").touch()
    with pytest.raises(ClarilmError, match="no graph today"):
        build_site(workspace, tmp_path / "data", site)
    assert (site / "old").exists()


@pytest.mark.slow
def test_it_is_built_before_any_run(project: Path, tmp_path: Path) -> None:
    build_site(project, tmp_path / "no_data", tmp_path / "site")
    api = tmp_path / "site" / "api"
    main = json.loads((api / "main").read_text())
    assert {"raw", "reporting"} <= set(main["layers"])
    shown = [json.loads(each.read_text()) for each in (api / "nodes").iterdir()]
    paths = {each["filepath"] for each in shown if each.get("filepath")}
    assert "data/08_reporting/report.html" in paths
    assert not [path for path in paths if path.startswith("/")]
    assert (tmp_path / "site" / "index.html").is_file()
