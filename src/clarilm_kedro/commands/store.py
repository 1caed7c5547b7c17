"""Commands on the response store: what was asked, what it cost."""

import sys
from pathlib import Path
from typing import Any

import click

from clarilm_kedro.commands.common import aligned, clarilm, env_option, params_option, project_context

# Enough to find it among the prompts of a project; the export has it whole.
_SHOWN_OF_A_SHA = 12


@clarilm.group(invoke_without_command=True)
@env_option
@params_option
@click.pass_context
def store(click_context: click.Context, env: str | None, params: dict[str, Any]) -> None:
    """Look into the response store: what was asked, what it cost."""
    with project_context(env, params) as context:
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
    click.echo("\n".join(aligned([headings, *told])))
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
    click.echo("\n" + "\n".join(aligned([("stage", "model", "prompt", "replies", "first", "last"), *prompts])) + "\n")
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
