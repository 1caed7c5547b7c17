"""``kedro clarilm``: what is not a pipeline. Each module adds its commands to the group."""

import click

from clarilm_kedro.commands import export, looking, plan, store
from clarilm_kedro.commands.common import clarilm

__all__ = ["commands", "export", "looking", "plan", "store"]


@click.group(name="clarilm")
def commands() -> None:
    """Project commands; Kedro lists this group as ``kedro clarilm``."""


commands.add_command(clarilm)
