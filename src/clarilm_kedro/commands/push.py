"""The command that uploads the adapter, the data and their cards to the Hugging Face Hub."""

from pathlib import Path
from typing import Any, cast

import click
from kedro.io import DataCatalog
from kedro.io.core import DatasetError

from clarilm_kedro.commands.common import aligned, clarilm, env_option, params_option, project_context, told_plainly
from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.publishing.files import Upload

_TYPES = ("model", "dataset")
_CARDS = {"model": "model_card", "dataset": "data_card"}
_CREDENTIALS = "huggingface"


@clarilm.command()
@click.argument("repo_id")
@click.option("--type", "types", type=click.Choice(_TYPES), multiple=True, help="Only this one; else both.")
@click.option("--adapter", default="clarilm_adapter", help="The adapter's dataset; clarilm_adapter unless given.")
@click.option(
    "--base-model", default=None, help="Id of its base model on the hub, where the training used another name."
)
@click.option("--without-logs", is_flag=True, help="Leave out the questions that users wrote in chat logs (Q^L).")
@click.option("--public", is_flag=True, help="Make the repositories public; else they are private.")
@click.option("--endpoint", default=None, help="Address of the hub; else HF_ENDPOINT or the public one.")
@click.option("--yes", is_flag=True, help="Upload. Without it nothing is sent.")
@env_option
@params_option
def push(
    repo_id: str,
    types: tuple[str, ...],
    adapter: str,
    base_model: str | None,
    without_logs: bool,
    public: bool,
    endpoint: str | None,
    yes: bool,
    env: str | None,
    params: dict[str, Any],
) -> None:
    """Upload the adapter and the data with their cards to the Hugging Face repositories REPO_ID (OWNER/NAME).

    Prints what would be uploaded; --yes uploads it.
    """
    from clarilm_kedro.publishing import uploading

    with told_plainly(), project_context(env, params) as context:
        uploading.checked_repo_id(repo_id)
        catalog = cast(DataCatalog, context.catalog)
        uploads = []
        for kind in types or _TYPES:
            card = _load(catalog, _CARDS[kind])
            if kind == "model":
                uploads.append(_model(catalog, adapter, card, base_model))
            else:
                uploads.append(_dataset(catalog, card, logs=not without_logs))
        given = dict(context.config_loader["credentials"].get(_CREDENTIALS) or {})
    for upload in uploads:
        click.echo("\n".join(_described(upload, repo_id, public)) + "\n")
    if not yes:
        click.echo("Nothing was uploaded. Add --yes to upload this" + (", or --public --yes." if not public else "."))
        return
    with told_plainly():
        token = uploading.write_token(given.get("token") or given.get("api_key"))
        for upload in uploads:
            try:
                url = uploading.push(upload, repo_id, token=token, endpoint=endpoint, public=public)
            except KeyboardInterrupt:
                raise click.ClickException(
                    "Stopped. Run the same command again to go on: what arrived is not sent again."
                ) from None
            click.echo(f"Uploaded the {upload.repo_type}: {url}")


def _model(catalog: DataCatalog, adapter: str, card: str, base_model: str | None) -> Upload:
    from clarilm_kedro.publishing.model import model_upload

    trained = _load(catalog, adapter)
    system = Path(str(vars(catalog.get(adapter))["_filepath"])).name
    calibrations = catalog.load("calibrations") if catalog.exists("calibrations") else {}
    return model_upload(trained.path, trained.report, card, _calibration(calibrations, system), base_model=base_model)


def _calibration(calibrations: dict[str, Any], system: str) -> dict[str, Any] | None:
    """Systems are named with hyphens, the folders of their adapters with underscores."""
    return calibrations.get(system.replace("_", "-"))


def _dataset(catalog: DataCatalog, card: str, *, logs: bool) -> Upload:
    from clarilm_kedro.publishing.dataset import TABLES, dataset_upload

    tables = {table.dataset: catalog.load(table.dataset) for table in TABLES if catalog.exists(table.dataset)}
    return dataset_upload(tables, _load(catalog, "questions"), _load(catalog, "answers"), card, logs=logs)


def _load(catalog: DataCatalog, name: str) -> Any:
    if name not in catalog or not catalog.exists(name):
        raise ClarilmError(f"There is no {name} yet: {_maker(name)}.")
    try:
        return catalog.load(name)
    except DatasetError as error:
        raise ClarilmError(str(error)) from error


def _maker(name: str) -> str:
    from kedro.framework.project import pipelines

    makers = [
        key for key in pipelines if key != "__default__" and any(name in node.outputs for node in pipelines[key].nodes)
    ]
    if makers:
        return f"`kedro run --pipeline={makers[0]}` makes it, and so does `kedro run`"
    return "no pipeline makes a dataset of that name"


def _described(upload: Upload, repo_id: str, public: bool) -> list[str]:
    seen = "public" if public else "private"
    lines = [
        f"{upload.repo_type} {repo_id} ({seen} if it is made now), {len(upload.files)} files, {upload.size:,} bytes"
    ]
    rows = [("  file", "bytes", "what"), *((f"  {file.path}", f"{file.size:,}", file.note) for file in upload.files)]
    lines += aligned(rows)
    licence = upload.licence
    lines += (
        ["Licences, as the card says:", *(f"  {line}" for line in licence)]
        if licence
        else ["The card says nothing of a licence: add one before others may use this."]
    )
    if upload.left_out:
        lines += ["Not uploaded:", *(f"  {line}" for line in upload.left_out)]
    lines += [f"Note: {line}" for line in upload.warnings]
    return lines
