"""What the commands share: the group, its options, the open project, a table on the terminal."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import click
from kedro.framework.cli.utils import _split_params, validate_conf_source
from kedro.framework.context import KedroContext
from kedro.framework.project import configure_project
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.utils import find_kedro_project

from clarilm_kedro.errors import ClarilmError

PACKAGE = __package__.partition(".")[0]
_CONF_SOURCE = f"{__name__}.conf_source"


@click.group(name="clarilm")
@click.option(
    "--conf-source",
    default=None,
    envvar="CLARILM_CONF_SOURCE",
    callback=validate_conf_source,
    help="Folder or archive with the configuration; else conf/ of the project or the working folder.",
)
@click.pass_context
def clarilm(click_context: click.Context, conf_source: str | None) -> None:
    """Look at what the pipelines made."""
    click_context.meta[_CONF_SOURCE] = conf_source


def named_conf_source() -> str | None:
    """Give the configuration that the command line names, or None."""
    return click.get_current_context().meta.get(_CONF_SOURCE)


env_option = click.option("--env", "-e", default=None, help="The environment, as for `kedro run`.")
params_option = click.option("--params", default="", callback=_split_params, help="As for `kedro run`.")


@contextmanager
def project_context(env: str | None, params: dict[str, Any] | None = None) -> Iterator[KedroContext]:
    """Open the project around the working folder, as for a run, with the framework's log held back.

    Where there is none, the installed package is opened with the working folder in a project's place.

    Raises:
        click.ClickException: There is no configuration either.
    """
    conf_source = named_conf_source()
    project = find_kedro_project(Path.cwd())
    if project:
        bootstrap_project(project)
    else:
        configure_project(PACKAGE)
    root = project or Path.cwd()
    if not conf_source and not (root / "conf").is_dir():
        raise click.ClickException(
            "There is no project here and no folder conf. Go to the project, or name the configuration: "
            "clarilm --conf-source PATH ..."
        )
    # The answer of a command, not the framework's account of how it came about.
    logging.disable(logging.INFO)
    try:
        with KedroSession.create(root, env=env, runtime_params=params or None, conf_source=conf_source) as session:
            yield cast(KedroSession, session).load_context()
    finally:
        logging.disable(logging.NOTSET)


@contextmanager
def told_plainly() -> Iterator[None]:
    """End the command with an error's sentence also where no project was opened, which would see to it."""
    try:
        yield
    except ClarilmError as error:
        raise click.ClickException(str(error)) from error


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lay rows of text out in columns, those of numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    numeric = [any(row[column][:1].isdigit() for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(row, widths, numeric, strict=True)
        ]
        yield "  ".join(cells).rstrip()
