"""Commands that write what the package ships: the sample world, the prompts."""

from pathlib import Path

import click

from clarilm_kedro.commands.common import aligned, clarilm, env_option, params_option, project_context, told_plainly

SAMPLE = "sample/files"
DEFAULT_PLACE = Path("data/01_raw/sample")
# As the response store's own listing shortens them.
_SHOWN_OF_A_SHA = 12

force_option = click.option("--force", is_flag=True, help="Write into a folder that holds other files.")


@clarilm.command()
@click.argument("folder", type=click.Path(file_okay=True, path_type=Path))
@force_option
def sample(folder: Path, force: bool) -> None:
    """Write the sample world into FOLDER: logs, question sets, benchmarks and gold labels made for this project.

    The default configuration reads it from data/01_raw/sample.
    """
    from clarilm_kedro.shipped import shipped_file
    from clarilm_kedro.writing import write_copies

    with told_plainly():
        root = shipped_file(SAMPLE)
        files = {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*")) if path.is_file()}
        written = write_copies(files, folder, force=force)
    click.echo(f"{written} files written to {folder}." if written else f"{folder} holds the sample world already.")
    if folder.absolute() == DEFAULT_PLACE.absolute():
        click.echo("Next: kedro run   (without a project: clarilm --conf-source PATH run)")
    else:
        click.echo(
            f"The default configuration reads {DEFAULT_PLACE} below the working folder; elsewhere the globals inputs.* "
            "and the world_dir of the chat models' server name its files."
        )


@clarilm.command()
@click.option("--to", "folder", type=click.Path(path_type=Path), default=None, help="Write them there, to be changed.")
@force_option
@env_option
@params_option
def prompts(folder: Path | None, force: bool, env: str | None, params: dict[str, object]) -> None:
    """List the prompts with their files and digests, or write those of the package to a folder.

    The global `prompts` names the folder whose files replace the package's.
    """
    from clarilm_kedro.datasets.prompt import digest, own_prompts, shipped_prompts
    from clarilm_kedro.writing import write_copies

    if folder is not None:
        with told_plainly():
            files = {path.name: path for path in shipped_prompts().values()}
            written = write_copies(files, folder, force=force)
        click.echo(f"{written} prompts written to {folder}." if written else f"{folder} holds these prompts already.")
        click.echo(f"Change what you need, delete the others, and run with --params prompts={folder}")
        return
    with project_context(env, params) as context:
        given = context.config_loader["globals"].get("prompts")
        own = own_prompts(given) if given else {}
        rows = [("prompt", "digest", "file")]
        for name, path in {**shipped_prompts(), **own}.items():
            rows.append((name, digest(path.read_text(encoding="utf-8"))[:_SHOWN_OF_A_SHA], str(path)))
    click.echo("\n".join(aligned(rows)))
