import tempfile
from pathlib import Path

from clarilm_kedro.finetuning.results import TrainedAdapter


def test_a_skip_has_a_reason_and_no_path() -> None:
    skipped = TrainedAdapter.skipped("There are 3 rows.")
    assert skipped.path is None
    assert skipped.report == {"status": "skipped", "reason": "There are 3 rows."}


def test_a_temporary_folder_lives_as_long_as_its_adapter() -> None:
    temporary = tempfile.TemporaryDirectory()
    folder = Path(temporary.name)
    adapter = TrainedAdapter(folder, {}, temporary).with_report(rows=3)
    del temporary
    assert adapter.report == {"rows": 3}
    assert folder.is_dir()
    adapter.folder.cleanup()  # type: ignore[union-attr]
    assert not folder.exists()
