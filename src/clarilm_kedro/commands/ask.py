"""The command that puts a question to the trained model and goes on as a conversation."""

import json
import sys
import unicodedata
from typing import TYPE_CHECKING, Any

import click
from kedro.framework.context import KedroContext

from clarilm_kedro.commands.common import clarilm, env_option, params_option, project_context
from clarilm_kedro.errors import ClarilmError

if TYPE_CHECKING:
    from clarilm_kedro.finetuning.assistant import Assistant, AssistantSpec, Decision


@clarilm.command()
@click.argument("question", required=False)
@click.option("--model", default=None, help="A registered model, such as models:/clarilm@champion; else this store's.")
@click.option("--threshold", type=click.FloatRange(0, 1), default=None, help="Ask where P(ask) is at least this.")
@click.option("--once", is_flag=True, help="Reply once; without it a terminal goes on as a conversation.")
@click.option("--json", "as_json", is_flag=True, help="Reply once, as one line of JSON.")
@env_option
@params_option
def ask(
    question: str | None,
    model: str | None,
    threshold: float | None,
    once: bool,
    as_json: bool,
    env: str | None,
    params: dict[str, Any],
) -> None:
    """Ask the trained ClariLM: P(ask), then its clarifying question or answer, as it is written.

    In a terminal it goes on as a conversation, until an empty line, Ctrl-C or Ctrl-D. Without QUESTION the first turn
    is read, from a pipe too.
    """
    from clarilm_kedro.finetuning.assistant import Assistant
    from clarilm_kedro.pipelines.inference.schemas import InferenceOptions

    talking = sys.stdin.isatty() and sys.stdout.isatty() and not (once or as_json)
    with project_context(env, params) as context:
        spec = _assistant(context, model)
        options = InferenceOptions.model_validate(context.params["inference"])
    if question is None and not talking:
        question = sys.stdin.read()
    if question is not None and not question.strip():
        raise ClarilmError('The question is empty. Give one: kedro clarilm ask "Tell me about Jordan"')
    if not as_json:
        click.echo(f"Loading {spec.name} on {spec.base_model.source} ...", err=True)
    assistant = Assistant(spec, options)
    if as_json:
        click.echo(_as_json(assistant, str(question), threshold))
    else:
        _talk(assistant, question, threshold, go_on=talking)


def _assistant(context: KedroContext, model: str | None) -> "AssistantSpec":
    from clarilm_kedro.pipelines.inference.nodes import choose_assistant

    catalog = context.catalog
    base = catalog.load("base_model")
    if model is not None:
        from clarilm_kedro.registry.resolving import registered_assistant

        tracking = context.mlflow.server.mlflow_tracking_uri  # type: ignore[attr-defined]
        return registered_assistant(model, str(tracking or ""), base.cache_dir)
    if not catalog.exists("clarilm_adapter") or not catalog.exists("calibrations"):
        raise ClarilmError(
            "There is no trained ClariLM in this store yet: run `kedro run` first, or name a registered model with "
            "--model."
        )
    return choose_assistant(catalog.load("clarilm_adapter"), base, catalog.load("calibrations"), None)


def _as_json(assistant: "Assistant", question: str, threshold: float | None) -> str:
    reply = assistant.reply([question], threshold)[0]
    if reply.decision is None:
        raise ClarilmError(reply.error)
    decision = reply.decision
    said = {"asked": decision.asks, "p_ask": decision.p_ask, "threshold": decision.threshold, "text": reply.text}
    return json.dumps(said, ensure_ascii=False)


def _talk(assistant: "Assistant", question: str | None, threshold: float | None, *, go_on: bool) -> None:
    conversation = assistant.converse(threshold)
    while True:
        if question is None:
            try:
                question = click.prompt("you", default="", show_default=False, prompt_suffix="> ")
            except click.Abort:  # Ctrl-C or Ctrl-D at the prompt
                click.echo()
                return
            if not question.strip():
                return
        try:
            conversation.say(question, _show_decision, _show)
            click.echo()
        except KeyboardInterrupt:
            click.echo(" ...")
            if not go_on:
                raise
        except ClarilmError as error:
            if not go_on:
                raise
            click.echo(f"Error: {error}", err=True)
        if not go_on:
            return
        question = None


def _show_decision(decision: "Decision") -> None:
    sign, does = (">=", "asks back") if decision.asks else ("<", "answers")
    line = f"P(ask) {decision.p_ask:.3f} {sign} threshold {decision.threshold:.3f}: {does}"
    click.echo(click.style(line, dim=True))


def _show(piece: str) -> None:
    click.echo(printable(piece), nl=False)
    sys.stdout.flush()


def printable(text: str) -> str:
    """Leave out what would steer a terminal: a model's text is data.

    Args:
        text: What a model wrote.

    Returns:
        The text without control and formatting characters, line breaks and tabs excepted.
    """
    return "".join(each for each in text if each in "\n\t" or unicodedata.category(each) not in {"Cc", "Cf", "Cs"})
