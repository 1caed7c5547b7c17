"""Commands that show what the pipelines made: results, audit, one question's story."""

import sys
from pathlib import Path
from typing import Any, cast

import click
from kedro.io import DataCatalog

from clarilm_kedro.commands.common import clarilm, env_option, params_option, project_context

NEXT = """
Where to look next
  kedro clarilm ask "Tell me about Jordan"   the model you have just trained
  kedro viz run                 the lineage of everything above         (or: make viz)
  kedro mlflow ui               losses, options and tables of the runs  (or: make mlflow)
  {report}   the report; it links to the figures and the examples browser
  kedro clarilm audit           how good the teacher was, against gold labels
  kedro run --env embedded      the same on your own files with a live local model; see README.md"""


@clarilm.command()
@env_option
@click.option(
    "--view",
    type=click.Choice(["full", "paper"]),
    default="full",
    help="paper: accuracy, F1+, TF and BERT alone, as in the paper's Table 2.",
)
def results(env: str | None, view: str) -> None:
    """Print the results table and where to look next."""
    from clarilm_kedro.metrics.table import for_terminal

    with project_context(env) as context:
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
@env_option
@params_option
def audit(env: str | None, params: dict[str, Any]) -> None:
    """Print the teacher audit: how good the chat models' work is against gold labels, and what it costs."""
    with project_context(env, params) as context:
        if not context.catalog.exists("audit_markdown"):
            raise click.ClickException("There is no audit yet: run `kedro run --pipeline=audit` first.")
        click.echo(context.catalog.load("audit_markdown"))


@clarilm.command()
@click.argument("question_id")
@env_option
@params_option
def explain(question_id: str, env: str | None, params: dict[str, Any]) -> None:
    """Print one question's whole story: origin, candidates, thought, choice, preference rows.

    QUESTION_ID names a question or a preference row; its first characters are enough.
    """
    from clarilm_kedro.explaining import explain_question

    with project_context(env, params) as context:
        path = Path(context.catalog.load("chat_llm").options.store)
        for line in explain_question(question_id, cast(DataCatalog, context.catalog), path):
            click.echo(line)
