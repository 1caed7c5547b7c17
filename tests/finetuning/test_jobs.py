import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.jobs import Job, JobFolder, job_digest
from clarilm_kedro.finetuning.options import SftOptions

ROWS = [{"prompt_ids": [1, 2], "completion_ids": [3]}, {"prompt_ids": [4], "completion_ids": [5, 6]}]


def make(tiny: BaseModelSpec, **changes: Any) -> Job:
    options = SftOptions().model_dump(mode="json") | changes.pop("options", {})
    return Job(method="sft", run_name="sft", base=tiny, options=options, **changes)


def test_the_digest_covers_what_the_result_depends_on(tiny: BaseModelSpec) -> None:
    plain = job_digest(make(tiny), ROWS)
    assert job_digest(make(tiny), [dict(row) for row in ROWS]) == plain
    assert job_digest(make(tiny, checkpoint_steps=7, options={"logging_steps": 5}), ROWS) == plain
    others = [
        job_digest(make(tiny, options={"learning_rate": 2e-4}), ROWS),
        job_digest(make(tiny, processes=2), ROWS),
        job_digest(make(tiny, sharding="fsdp2"), ROWS),
        job_digest(make(tiny.model_copy(update={"dtype": "bfloat16"})), ROWS),
        job_digest(make(tiny.model_copy(update={"chat_template": "plain"})), ROWS),
        job_digest(make(tiny), ROWS[::-1]),
        job_digest(make(tiny), ROWS[:1], ROWS[1:]),
    ]
    assert len({plain, *others}) == 8


def test_another_base_model_under_the_same_name_is_noticed(tiny: BaseModelSpec, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "base"
    shutil.copytree(tiny.source, folder)
    base = tiny.model_copy(update={"source": str(folder)})
    before = job_digest(make(base), ROWS)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"rope_theta": 5.0}))
    assert job_digest(make(base), ROWS) != before


def test_an_adapter_that_is_not_there_says_so(tiny: BaseModelSpec, tmp_path: Path) -> None:
    with pytest.raises(ClarilmError, match="cannot be read"):
        job_digest(make(tiny, start=str(tmp_path)), ROWS)


def test_a_prepared_folder_gives_back_what_was_put_in(tiny: BaseModelSpec, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    folder = JobFolder(tmp_path / "job")
    folder.prepare(make(tiny), ROWS)
    assert folder.job() == make(tiny)
    assert pq.read_table(folder.rows).to_pylist() == ROWS
    assert not folder.supervised.exists()
    assert folder.result() is None
    folder.finish({"status": "trained"})
    assert folder.result() == {"status": "trained"}


@given(st.lists(st.integers(1, 500), unique=True, min_size=1, max_size=5), st.data())
def test_the_last_whole_checkpoint_is_found(steps: list[int], data: st.DataObject) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as root:
        folder = JobFolder(Path(root))
        whole = []
        for step in steps:
            path = folder.checkpoints / f"checkpoint-{step}"
            path.mkdir(parents=True)
            kind = data.draw(st.sampled_from(["whole", "torn", "without"]))
            if kind == "whole":
                whole.append(step)
            if kind != "without":
                text = json.dumps({"global_step": step})
                (path / "trainer_state.json").write_text(text if kind == "whole" else text[:-3])
        (folder.checkpoints / "checkpoint-last").mkdir()
        found = folder.last_checkpoint()
        assert (found is None) == (not whole)
        assert found is None or found.name == f"checkpoint-{max(whole)}"
