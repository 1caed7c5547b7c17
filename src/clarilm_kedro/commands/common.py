"""What the commands share: the group, its options, the open project, a table on the terminal."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import click
from kedro.framework.cli.utils import _split_params
from kedro.framework.context import KedroContext
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project


@click.group(name="clarilm")
def clarilm() -> None:
    """Look at what the pipelines made."""


env_option = click.option("--env", "-e", default=None, help="The environment, as for `kedro run`.")
params_option = click.option("--params", default="", callback=_split_params, help="As for `kedro run`.")


@contextmanager
def project_context(env: str | None, params: dict[str, Any] | None = None) -> Iterator[KedroContext]:
    """Open the project in the working folder, as for a run, with the framework's log held back."""
    root = Path.cwd()
    bootstrap_project(root)
    # The answer of a command, not the framework's account of how it came about.
    logging.disable(logging.INFO)
    try:
        with KedroSession.create(project_path=root, env=env, runtime_params=params or None) as session:
            yield cast(KedroSession, session).load_context()
    finally:
        logging.disable(logging.NOTSET)


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
