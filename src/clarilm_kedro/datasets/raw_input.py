"""What the entries of raw inputs have in common: a location that is looked up, and nothing that is written."""

import glob
from abc import abstractmethod
from pathlib import Path
from typing import Generic, NoReturn, TypeVar

from kedro.io import AbstractDataset
from kedro.io.core import DatasetError

from clarilm_kedro.errors import ClarilmError

Loaded = TypeVar("Loaded")


class InputError(ClarilmError, DatasetError):
    """An input that cannot be read.

    Kedro's catalog turns every error of a dataset into a ``DatasetError``. This one it passes on with its sentence as
    it is, and as the cause of the error it raises.
    """


class RawInput(AbstractDataset[NoReturn, Loaded], Generic[Loaded]):
    """A raw input; read-only.

    Args:
        filepath: A file, a folder or a glob; null means that the input is not given, which is no error.
        name: Name of the input, that of its global ``inputs.<name>``.
    """

    def __init__(self, filepath: str | None, name: str) -> None:
        self._filepath = filepath
        self._name = name

    def load(self) -> Loaded:
        """Read the input.

        Returns:
            Its rows; none where no path is given.

        Raises:
            InputError: There is nothing at the path, or it cannot be read.
        """
        try:
            return self._read()
        except ClarilmError as error:
            raise InputError(str(error)) from error

    @abstractmethod
    def _read(self) -> Loaded:
        """Read the input; errors of the domain packages may pass."""

    def save(self, data: NoReturn) -> NoReturn:
        """Refuse: raw inputs are read-only."""
        raise InputError(f"'{self._name}' is a raw input and cannot be saved.")

    def _exists(self) -> bool:
        if self._filepath is None:
            return True
        path = Path(self._filepath).expanduser()
        return path.exists() or next(glob.iglob(str(path), recursive=True), None) is not None
