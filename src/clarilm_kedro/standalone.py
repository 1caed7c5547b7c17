"""The program ``clarilm`` of an installed package: a run and the project's commands, without a project too."""

import os

from clarilm_kedro.shipped import shipped_file


def use_own_logging() -> None:
    """Log as a project does where there is no ``conf/logging.yml``; to be called before Kedro is imported.

    Kedro reads that file relative to the working folder and not from an archive of the configuration.
    """
    if not os.path.exists(os.path.join("conf", "logging.yml")):
        os.environ.setdefault("KEDRO_LOGGING_CONFIG", str(shipped_file("logging.yml")))


def main() -> None:
    """Run the command line."""
    use_own_logging()
    from clarilm_kedro.commands.standalone import program

    program(prog_name="clarilm")
