"""``kedro clarilm``: what is not a pipeline."""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
from kedro.framework.cli.utils import _split_params
from kedro.framework.context import KedroContext
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.io import DataCatalog

from clarilm_kedro.errors import ClarilmError

if TYPE_CHECKING:
    from clarilm_kedro.chat.plan import StagePlan
    from clarilm_kedro.finetuning.memory_plan import MemoryPlan

NEXT = """
Where to look next
  kedro viz run                 the lineage of everything above         (or: make viz)
  kedro mlflow ui               losses, options and tables of the runs  (or: make mlflow)
  {report}   the report; it links to the figures and the examples browser
  kedro clarilm audit           how good the teacher was, against gold labels
  kedro run --env embedded      the same on your own files with a live local model; see README.md"""


@click.group(name="clarilm")
def commands() -> None:
    """Project commands; Kedro lists this group as ``kedro clarilm``."""


@commands.group(name="clarilm")
def clarilm() -> None:
    """Look at what the pipelines made."""


# Enough to find it among the prompts of a project; the export has it whole.
_SHOWN_OF_A_SHA = 12
_ENV = click.option("--env", "-e", default=None, help="The environment, as for `kedro run`.")
_PARAMS = click.option("--params", default="", callback=_split_params, help="As for `kedro run`.")


@clarilm.command()
@_ENV
@click.option(
    "--view",
    type=click.Choice(["full", "paper"]),
    default="full",
    help="paper: accuracy, F1+, TF and BERT alone, as in the paper's Table 2.",
)
def results(env: str | None, view: str) -> None:
    """Print the results table and where to look next."""
    from clarilm_kedro.metrics.table import for_terminal

    with _context(env) as context:
        catalog = context.catalog
        name = "results_markdown" if view == "full" else "results_paper_view"
        if not catalog.exists(name):
            raise click.ClickException("There are no results yet: run `kedro run` first.")
        table = catalog.load(name)
        # Into a file or a pipe it goes as the Markdown it is.
        click.echo(for_terminal(table) if sys.stdout.isatty() else table)
        report = Path(str(vars(catalog.get("report"))["_filepath"]))
    root = Path.cwd()
    shown = report.relative_to(root) if report.is_relative_to(root) else report
    click.echo(NEXT.format(report=shown))


@clarilm.command()
@_ENV
@_PARAMS
def audit(env: str | None, params: dict[str, Any]) -> None:
    """Print the teacher audit: how good the chat models' work is against gold labels, and what it costs."""
    with _context(env, params) as context:
        if not context.catalog.exists("audit_markdown"):
            raise click.ClickException("There is no audit yet: run `kedro run --pipeline=audit` first.")
        click.echo(context.catalog.load("audit_markdown"))


@clarilm.command()
@_ENV
@_PARAMS
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

    with _context(env, params) as context:
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
    click.echo("\n".join(_aligned([headings, *rows])))
    known = sum(stage.cost_usd or 0.0 for stage in stages)
    unknown = sorted({stage.model for stage in stages if stage.cost_usd is None})
    without = f", without {', '.join(unknown)}, whose price is not in the price table" if unknown else ""
    click.echo(f"Together {sum(stage.calls for stage in stages):,} calls, US$ {known:,.2f}{without}.")


@clarilm.command()
@click.argument("question_id")
@_ENV
@_PARAMS
def explain(question_id: str, env: str | None, params: dict[str, Any]) -> None:
    """Print one question's whole story: origin, candidates, thought, choice, preference rows.

    QUESTION_ID names a question or a preference row; its first characters are enough.
    """
    from clarilm_kedro.explaining import explain_question

    with _context(env, params) as context:
        path = Path(context.catalog.load("chat_llm").options.store)
        for line in explain_question(question_id, cast(DataCatalog, context.catalog), path):
            click.echo(line)


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
    click.echo("\n".join(_aligned([headings, *rows])))
    for plan in trainings:
        try:
            plan.check()
        except ClarilmError as error:
            if strict:
                raise
            click.echo(str(error))
            return
    click.echo(f"Each device has {trainings[0].available:.1f} GB: all of them fit.")


@clarilm.group(invoke_without_command=True)
@_ENV
@_PARAMS
@click.pass_context
def store(click_context: click.Context, env: str | None, params: dict[str, Any]) -> None:
    """Look into the response store: what was asked, what it cost."""
    with _context(env, params) as context:
        path = Path(context.catalog.load("chat_llm").options.store)
    click_context.obj = path
    if click_context.invoked_subcommand:
        return
    from clarilm_kedro.chat.store_tools import store_statistics, stored_prompts

    rows, totals = store_statistics(path)
    headings = ("stage", "model", "outcome", "requests", "prompt tokens", "reply tokens", "US$", "first", "last")
    told = [
        (
            row["stage"],
            row["model"],
            row["kind"] or "on its way",
            f"{row['requests']:,}",
            f"{row['prompt_tokens']:,}",
            f"{row['completion_tokens']:,}",
            "unknown" if row["cost_usd"] is None else f"{row['cost_usd']:,.2f}",
            row["first"],
            row["last"],
        )
        for row in rows
    ]
    click.echo("\n".join(_aligned([headings, *told])))
    prompts = [
        (
            row["stage"],
            row["model"],
            (row["prompt_sha"] or "unknown")[:_SHOWN_OF_A_SHA],
            f"{row['replies']:,}",
            row["first"],
            row["last"],
        )
        for row in stored_prompts(path)
    ]
    click.echo("\n" + "\n".join(_aligned([("stage", "model", "prompt", "replies", "first", "last"), *prompts])) + "\n")
    click.echo(
        f"{path}: {totals['replies']:,} replies, {totals['bytes'] / 1e6:,.1f} MB; {totals['bought_twice']:,} requests "
        "were lost on their way when a run died, and sent again."
    )


@store.command()
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=None, help="A file; else printed.")
@click.option("--stage", default=None, help="Only this stage.")
@click.option("--model", default=None, help="Only this model.")
@click.pass_obj
def export(path: Path, out: Path | None, stage: str | None, model: str | None) -> None:
    """Write the replies as JSON lines."""
    from clarilm_kedro.chat.store_tools import export_replies

    if out is None:
        export_replies(path, sys.stdout, stage=stage, model=model)
        return
    with out.open("w", encoding="utf-8") as target:
        lines = export_replies(path, target, stage=stage, model=model)
    click.echo(f"{lines:,} replies written to {out}.")


@store.command()
@click.option("--older-than-days", type=float, default=None, help="Only replies received before.")
@click.option("--model", default=None, help="Only this model's.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def prune(path: Path, older_than_days: float | None, model: str | None, yes: bool) -> None:
    """Delete replies; what they cost stays in the ledger."""
    from clarilm_kedro.chat.store_tools import prune_replies

    if older_than_days is None and model is None:
        raise click.UsageError("Say which: --older-than-days, --model, or both.")
    if not yes:
        click.confirm(f"Delete replies from {path}? A run that needs them buys them again", abort=True)
    click.echo(f"{prune_replies(path, older_than_days=older_than_days, model=model):,} replies deleted.")


@contextmanager
def _context(env: str | None, params: dict[str, Any] | None = None) -> Iterator[KedroContext]:
    root = Path.cwd()
    bootstrap_project(root)
    # The answer of a command, not the framework's account of how it came about.
    logging.disable(logging.INFO)
    try:
        with KedroSession.create(project_path=root, env=env, runtime_params=params or None) as session:
            yield cast(KedroSession, session).load_context()
    finally:
        logging.disable(logging.NOTSET)


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    numeric = [any(row[column][:1].isdigit() for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(row, widths, numeric, strict=True)
        ]
        yield "  ".join(cells).rstrip()
