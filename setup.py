"""Puts into a wheel what lies outside of ``src``: the sample world, the logging settings. All else: pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
# As clarilm_kedro.shipped.COPIED, which a build cannot import; a test compares the two.
COPIED = {"sample/files": "data/01_raw/sample", "logging.yml": "conf/logging.yml"}


class BuildWithData(build_py):
    """Build the package with a copy of these files; an editable installation finds them where they are."""

    def run(self) -> None:
        """Build, then copy."""
        super().run()
        if self.editable_mode:
            return
        for target, source in self._copies().items():
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """List what is built, for the wheel's record."""
        return [*super().get_outputs(include_bytecode), *self._copies()]

    def _copies(self) -> dict[str, str]:
        package = Path(self.build_lib) / "clarilm_kedro"
        return {
            str(package / target / path.relative_to(ROOT / source)): str(path.relative_to(ROOT))
            for target, source in COPIED.items()
            for path in ([ROOT / source] if (ROOT / source).is_file() else sorted((ROOT / source).rglob("*")))
            if path.is_file()
        }


setup(cmdclass={"build_py": BuildWithData})
