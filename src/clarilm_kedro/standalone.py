"""The program ``clarilm`` of an installed package: a run and the project's commands, without a project too."""

import os

from clarilm_kedro.shipped import shipped_file

# As the Makefile sets them, for there is none here: no telemetry; and two OpenMP pools that wait busily on few cores
# cost half the speed.
_ENVIRONMENT = {
    "KEDRO_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
}


def prepare() -> None:
    """Set what libraries read at their first import; what the caller's environment says holds.

    Kedro reads ``conf/logging.yml`` relative to the working folder and not from an archive of the configuration: where
    it is not there, the package's own is used.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if not os.path.exists(os.path.join("conf", "logging.yml")):
        os.environ.setdefault("KEDRO_LOGGING_CONFIG", str(shipped_file("logging.yml")))


def main() -> None:
    """Run the command line."""
    prepare()
    from clarilm_kedro.commands.standalone import program

    program(prog_name="clarilm")
