"""``kedro clarilm``: what is not a pipeline. Each module adds its commands to the group."""

import click

from clarilm_kedro.commands import ask, export, looking, plan, push, shipped, store, viz_site
from clarilm_kedro.commands.common import clarilm

__all__ = ["ask", "commands", "export", "looking", "plan", "push", "shipped", "store", "viz_site"]


@click.group(name="clarilm")
def commands() -> None:
    """Project commands; Kedro lists this group as ``kedro clarilm``."""


commands.add_command(clarilm)
