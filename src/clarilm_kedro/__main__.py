"""Run the packaged project: ``python -m clarilm_kedro``."""

from pathlib import Path
from typing import Any

from clarilm_kedro.standalone import prepare


def main(*args: Any, **kwargs: Any) -> Any:
    """Call ``kedro run`` of this package with the given command line arguments."""
    prepare()
    from kedro.framework.cli.utils import find_run_command
    from kedro.framework.project import configure_project

    package_name = Path(__file__).parent.name
    configure_project(package_name)
    return find_run_command(package_name)(*args, **kwargs)


if __name__ == "__main__":
    main()
