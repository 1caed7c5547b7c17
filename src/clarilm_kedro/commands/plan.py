"""The command that says what a run would send, cost and need."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import click
from kedro.io import DataCatalog

from clarilm_kedro.commands.common import aligned, clarilm, env_option, params_option, project_context
from clarilm_kedro.errors import ClarilmError

if TYPE_CHECKING:
    from clarilm_kedro.chat.plan import StagePlan
    from clarilm_kedro.finetuning.memory_plan import MemoryPlan


@clarilm.command()
@env_option
@params_option
@click.option("--pipeline", "-p", default="__default__", help="The pipeline, as for `kedro run`.")
@click.option("--gpus", type=click.IntRange(1), default=None, help="Plan trainings for so many GPUs per machine.")
@click.option("--gpu-memory", type=float, default=None, help="Gigabytes of each; else those of this machine.")
def plan(env: str | None, params: dict[str, Any], pipeline: str, gpus: int | None, gpu_memory: float | None) -> None:
    """Print the chat requests that a run would send, what they would cost, and the memory of its trainings.

    Sends, loads and writes nothing.
    """
    from kedro.framework.project import pipelines

    from clarilm_kedro.chat.plan import PlanOptions
    from clarilm_kedro.planning import plan_pipeline, plan_trainings

    with project_context(env, params) as context:
        if pipeline not in pipelines:
            raise click.ClickException(f"There is no pipeline '{pipeline}'. Known: {', '.join(sorted(pipelines))}.")
        options = PlanOptions.model_validate(context.params["plan"])
        catalog = cast(DataCatalog, context.catalog)
        stages = list(plan_pipeline(pipelines[pipeline], catalog, options))
        wanted = gpus is not None or gpu_memory is not None or not stages
        trainings: list[MemoryPlan] = []
        trouble = None
        try:
            trainings += plan_trainings(pipelines[pipeline], catalog, gpus, gpu_memory)
        except ClarilmError as error:  # a base model that cannot be looked up does not hide what the requests cost
            if wanted:
                raise
            trouble = str(error)
    if stages:
        _print_stages(stages)
    if trainings:
        _print_trainings(trainings, strict=wanted)
    if trouble:
        click.echo(f"The memory of the trainings is not planned: {trouble}")


def _print_stages(stages: Sequence["StagePlan"]) -> None:
    rows = [
        (
            stage.stage,
            stage.model,
            f"{stage.calls:,}",
            f"{stage.stored:,}",
            f"{stage.prompt_tokens:,}",
            f"{stage.completion_tokens:,}",
            "unknown" if stage.cost_usd is None else f"{stage.cost_usd:,.2f}",
            stage.basis,
        )
        for stage in stages
    ]
    headings = ("stage", "model", "calls", "stored", "prompt tokens", "reply tokens", "US$", "basis")
    click.echo("\n".join(aligned([headings, *rows])))
    known = sum(stage.cost_usd or 0.0 for stage in stages)
    unknown = sorted({stage.model for stage in stages if stage.cost_usd is None})
    without = f", without {', '.join(unknown)}, whose price is not in the price table" if unknown else ""
    click.echo(f"Together {sum(stage.calls for stage in stages):,} calls, US$ {known:,.2f}{without}.")


def _print_trainings(trainings: Sequence["MemoryPlan"], *, strict: bool) -> None:
    headings = ("training", "GB per device", "weights", "adapter", "optimizer", "activations", "logits", "headroom")
    rows = [
        (
            plan.what,
            *(
                f"{value:.2f}"
                for value in (
                    plan.total,
                    plan.weights,
                    plan.adapter,
                    plan.optimizer,
                    plan.activations,
                    plan.logits,
                    plan.headroom,
                )
            ),
        )
        for plan in trainings
    ]
    click.echo("\n".join(aligned([headings, *rows])))
    for plan in trainings:
        try:
            plan.check()
        except ClarilmError as error:
            if strict:
                raise
            click.echo(str(error))
            return
    click.echo(f"Each device has {trainings[0].available:.1f} GB: all of them fit.")
