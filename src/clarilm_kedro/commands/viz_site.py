"""The command that builds a static kedro-viz site."""

from pathlib import Path

import click

from clarilm_kedro.commands.common import clarilm
from clarilm_kedro.errors import ClarilmError


@clarilm.command("viz-site")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path("data"),
    show_default=True,
    help="What a run on the sample world left.",
)
def viz_site(folder: Path, data: Path) -> None:
    """Build a static kedro-viz site in FOLDER, with previews of the sample world and no path of this machine.

    A folder that is there is replaced if it holds such a site. Look at it with `python -m http.server -d FOLDER`.
    """
    from clarilm_kedro.viz_site import build_site

    if folder.exists() and any(folder.iterdir()) and not (folder / "api" / "main").is_file():
        raise click.ClickException(f"'{folder}' holds something else than a kedro-viz site: name another folder.")
    try:
        build_site(Path.cwd(), data, folder)
    except ClarilmError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"Written: {folder}/index.html. To look at it: python -m http.server -d {folder}")
