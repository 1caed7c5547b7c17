"""Chained environments, overridable globals, refused options, credentials from the environment."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from clarilm_kedro.config import ChainedConfigLoader
from clarilm_kedro.errors import ClarilmError


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    files: dict[str, dict[str, Any]] = {
        "base/globals.yml": {
            "store": "data",
            "inputs": {"sharegpt": "a.json", "wildchat": "w"},
            "chat_llm": {"model": "m", "credentials": "openai", "server": {"kind": "sample", "world_dir": "d"}},
            "limits": {"sessions": None},
        },
        "base/catalog.yml": {"sessions": {"type": "pandas.ParquetDataset", "filepath": "${globals:store}/s.parquet"}},
        "base/parameters.yml": {"ofs": {"split": {"test_questions": 3, "from": "${globals:inputs.sharegpt}"}}},
        "paper/globals.yml": {"store": "data/paper", "chat_llm": {"server": {"kind": "llama_cpp", "slots": 2}}},
        "cluster/globals.yml": {"extends": "paper", "inputs": {"wildchat": "hdfs"}},
        "local/globals.yml": {"inputs": {"sharegpt": "mine.json"}},
    }
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content))
    return tmp_path


def load(conf: Path, env: str | None = None, **params: Any) -> ChainedConfigLoader:
    return ChainedConfigLoader(conf, env=env, base_env="base", default_run_env="local", runtime_params=params)


def test_an_environment_changes_only_what_it_names(conf: Path) -> None:
    found = load(conf, "paper")["globals"]
    assert found["store"] == "data/paper"
    assert found["inputs"] == {"sharegpt": "mine.json", "wildchat": "w"}


def test_environments_extend_one_another(conf: Path) -> None:
    loader = load(conf, "cluster")
    assert loader.environments == ["base", "paper", "cluster", "local"]
    assert loader["globals"]["store"] == "data/paper"
    assert loader["globals"]["inputs"]["wildchat"] == "hdfs"
    assert "extends" not in loader["globals"]
    assert loader["catalog"]["sessions"]["filepath"] == "data/paper/s.parquet"


def test_another_kind_replaces_the_whole_mapping(conf: Path) -> None:
    assert load(conf, "paper")["globals"]["chat_llm"]["server"] == {"kind": "llama_cpp", "slots": 2}


def test_a_circle_of_environments_is_named(conf: Path) -> None:
    (conf / "paper" / "globals.yml").write_text("extends: cluster\n")
    with pytest.raises(ClarilmError, match="extends itself"):
        load(conf, "cluster")


def test_an_unknown_environment_lists_the_known_ones(conf: Path) -> None:
    with pytest.raises(ClarilmError, match=r"no environment 'papr'.*paper"):
        load(conf, "papr")


def test_a_runtime_parameter_overrides_a_global_everywhere(conf: Path) -> None:
    loader = load(conf, "paper", inputs={"sharegpt": "given.json"}, store="elsewhere")
    assert loader["parameters"]["ofs"]["split"]["from"] == "given.json"
    assert loader["catalog"]["sessions"]["filepath"] == "elsewhere/s.parquet"


def test_a_runtime_parameter_overrides_an_option(conf: Path) -> None:
    loader = load(conf, ofs={"split": {"test_questions": 9}})
    assert loader["parameters"]["ofs"]["split"]["test_questions"] == 9


@pytest.mark.parametrize(
    ("given", "nearest"),
    [
        ({"inputs": {"sharegtp": "x"}}, "inputs.sharegpt"),
        ({"ofs": {"split": {"test_question": 1}}}, "ofs.split.test_questions"),
        ({"stor": "x"}, "store"),
    ],
)
def test_an_unknown_runtime_parameter_is_refused_with_the_nearest_name(
    conf: Path, given: dict[str, Any], nearest: str
) -> None:
    with pytest.raises(ClarilmError, match=f"Did you mean '{nearest}'"):
        load(conf, **given)


def test_below_an_empty_option_anything_may_be_given(conf: Path) -> None:
    assert load(conf, limits={"sessions": 5})["globals"]["limits"]["sessions"] == 5


def test_an_empty_list_of_models_can_be_filled_for_one_run(conf: Path) -> None:
    (conf / "local" / "globals.yml").write_text("systems: {}\n")
    given = {"mine": {"base_url": "http://127.0.0.1:8000/v1"}}
    assert load(conf, systems=given)["globals"]["systems"] == given


def test_a_key_with_dots_is_one_key(conf: Path) -> None:
    (conf / "local" / "globals.yml").write_text("engine: {}\n")
    given = {"spark.sql.shuffle.partitions": 2}
    assert load(conf, engine=given)["globals"]["engine"] == given


def test_credentials_come_from_the_environment_unless_a_file_has_them(
    conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "from-environment")
    assert load(conf)["credentials"] == {"openai": {"api_key": "from-environment"}}
    (conf / "local" / "credentials.yml").write_text("openai: {api_key: from-file}\n")
    assert load(conf)["credentials"]["openai"]["api_key"] == "from-file"


def test_without_a_key_the_entry_is_there_but_empty(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert load(conf)["credentials"] == {"openai": {"api_key": None}}


def test_models_in_a_list_of_several_find_their_keys_too(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", "second")
    (conf / "local" / "globals.yml").write_text("systems: {r1: {credentials: deepseek}, own: {credentials: null}}\n")
    found = load(conf)["credentials"]
    assert set(found) == {"openai", "deepseek"}
    assert found["deepseek"] == {"api_key": "second"}


def test_the_projects_environments_load(project: Path) -> None:
    for env in ("base", "embedded", "paper", "test"):
        loader = ChainedConfigLoader(project / "conf", env=env, base_env="base", default_run_env="local")
        assert loader["parameters"]["ofs"]["split"]["test_questions"] > 0
        assert loader["catalog"]["chat_llm"]["model"]


@pytest.mark.parametrize("suffix", [".tar.gz", ".zip"])
def test_an_archive_is_read_as_a_folder_is(conf: Path, tmp_path_factory: pytest.TempPathFactory, suffix: str) -> None:
    base = str(tmp_path_factory.mktemp("archive") / "conf-packaged")
    root = tmp_path_factory.mktemp("packed")
    shutil.copytree(conf, root / "conf")
    kind = {".tar.gz": "gztar", ".zip": "zip"}[suffix]
    archive = Path(shutil.make_archive(base, kind, root_dir=root, base_dir="conf"))
    for env in (None, "paper", "cluster"):
        packed, folder = load(archive, env), load(conf, env)
        assert packed.environments == folder.environments
        for key in ("globals", "catalog", "parameters"):
            assert packed[key] == folder[key]
    with pytest.raises(ClarilmError, match=r"no environment 'papr'.*Known: base, cluster, local, paper\."):
        load(archive, "papr")
    with pytest.raises(ClarilmError, match="no option or global"):
        load(archive, "paper", ofs={"splt": 3})


def test_a_damaged_archive_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "conf.tar.gz").write_bytes(b"no archive")
    (tmp_path / "conf.zip").write_bytes(b"no archive")
    for name in ("conf.tar.gz", "conf.zip", "absent.tar.gz"):
        with pytest.raises(ClarilmError, match=rf"{name} cannot be read"):
            load(tmp_path / name)


def test_a_source_without_the_files_names_itself(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    with pytest.raises(ClarilmError, match=rf"No catalog file.*{tmp_path}; --conf-source"):
        load(tmp_path)["catalog"]


def test_a_shipped_file_gives_way_to_the_one_that_is_named(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(conf)
    (conf / "base" / "catalog.yml").write_text('table: {prices: "${shipped:chat/prices.yml,${globals:prices}}"}\n')
    (conf / "local" / "globals.yml").write_text("prices: null\n")
    assert load(conf)["catalog"]["table"]["prices"].endswith("clarilm_kedro/chat/prices.yml")
    (conf / "local" / "globals.yml").write_text("prices: mine.yml\n")
    assert load(conf)["catalog"]["table"]["prices"] == str(conf / "mine.yml")
