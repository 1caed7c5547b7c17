"""The command that writes a trained model for use elsewhere."""

from pathlib import Path
from typing import Any, cast

import click
from kedro.framework.context import KedroContext

from clarilm_kedro.commands.common import clarilm, env_option, params_option, project_context
from clarilm_kedro.errors import ClarilmError

#: Adapters that the pipelines train; the first is exported where none is named.
TRAINED = ("clarilm", "clarilm_sft", "sft_full", "sft_ql", "sft_in3", "fm_log")
_BASE = "base"


@clarilm.command(name="export")
@click.option(
    "--variant", type=click.Choice([*TRAINED, _BASE]), default=TRAINED[0], help="The adapter.", show_default=True
)
@click.option(
    "--format", "kind", type=click.Choice(["merged", "gguf", "lora-gguf"]), required=True, help="See docs/export.md."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The folder to write.")
@click.option(
    "--weights",
    type=click.Choice(["f32", "bf16", "f16", "q8_0"]),
    default=None,
    help="Number format: merged f32 (the default), bf16, f16; gguf f16, f32, q8_0; lora-gguf f32, f16.",
)
@click.option("--force", is_flag=True, help="Replace an earlier export in that folder.")
@env_option
@params_option
def export(
    variant: str, kind: Any, out: Path, weights: str | None, force: bool, env: str | None, params: dict[str, Any]
) -> None:
    """Write a trained model for llama.cpp, Ollama, vLLM or transformers, with notes on how to serve it."""
    from clarilm_kedro.finetuning.exporting import export as write
    from clarilm_kedro.finetuning.serving_notes import NOTE

    with project_context(env, params) as context:
        what = _exportable(context, variant)
        try:
            served = write(what, kind, out, weights=weights, force=force)
        except ClarilmError as error:
            raise click.ClickException(str(error)) from error
    for each in served.differences:
        click.echo(f"The base file says {each.key} = {each.base}; the model was trained with {each.trained or 'none'}.")
    size = sum(file.stat().st_size for file in out.expanduser().rglob("*") if file.is_file())
    click.echo(
        f"{out}: {variant} as {kind} in {served.weights}, {size / 1e6:,.1f} MB. {out / NOTE} says how to serve it."
    )


def _exportable(context: KedroContext, variant: str) -> Any:
    from clarilm_kedro.finetuning.exporting import Exportable
    from clarilm_kedro.pipelines.training import VARIANTS, system_of

    catalog = context.catalog
    base = catalog.load("base_model")
    calibrations = cast(dict[str, Any], catalog.load("calibrations")) if catalog.exists("calibrations") else {}
    systems: dict[str, str] = {each: system_of(each) for each in VARIANTS}
    found = calibrations.get(systems.get(variant, variant), {})
    threshold = found["threshold"] if found.get("status") == "fitted" else None
    if variant == _BASE:
        return Exportable(variant, base, None, threshold)
    run = f"`kedro run --pipeline={'cfd' if variant == 'fm_log' else 'training'}`"
    if not catalog.exists(f"{variant}_adapter"):
        raise click.ClickException(f"There is no adapter of {variant} yet: {run} trains it.")
    trained = catalog.load(f"{variant}_adapter")
    if trained.path is None:
        raise click.ClickException(f"{variant} was not trained: {trained.report.get('reason', '')} {run} trains it.")
    return Exportable(variant, base, trained.path, threshold)
