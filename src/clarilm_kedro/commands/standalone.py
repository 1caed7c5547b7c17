"""The commands as a program of their own, for a package that is installed without its project."""

from typing import Any

import click

from clarilm_kedro.commands.common import clarilm, named_conf_source


@click.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run(arguments: tuple[str, ...]) -> Any:
    """Run pipelines, as `kedro run` and `python -m clarilm_kedro` do, with their options."""
    from clarilm_kedro.__main__ import main

    source = named_conf_source()
    return main([*(["--conf-source", source] if source else []), *arguments], prog_name="clarilm run")


program = click.Group(
    name="clarilm",
    commands={**clarilm.commands, "run": run},
    callback=clarilm.callback,
    params=clarilm.params,
    help="Run the pipelines, look at what they made, and what else goes with them.",
)
