"""ClariLM in use: loaded once, it decides whether to ask back, then asks or answers.

The decision is the one the evaluation makes: P(ask) against the threshold fitted on the validation split, then the
reply with that decision written into it, token by token the likeliest.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.base_model import BaseModelSpec
from clarilm_kedro.finetuning.calibration import DEFAULT_THRESHOLD
from clarilm_kedro.finetuning.decoder import Decoder
from clarilm_kedro.finetuning.template import Message, clarification_prompt, completion
from clarilm_kedro.options import Options

#: Writes replies to prompts with given decisions.
Writer = Callable[[Sequence[Sequence[Message]], Sequence[bool]], list[str]]


class AssistantOptions(Options):
    """How an assistant replies."""

    max_new_tokens: int = Field(128, ge=1, description="Tokens of a reply at most.")
    batch_size: int = Field(32, ge=1, description="Questions per forward pass.")


@dataclass(frozen=True)
class AssistantSpec:
    """What an assistant is made of.

    Attributes:
        base_model: The base model.
        adapter: Folder of the LoRA adapter on it; None is the base model as it is.
        threshold: It asks where P(ask) is at least this.
        name: What it is called where it is shown.
    """

    base_model: BaseModelSpec
    adapter: Path | None
    threshold: float = DEFAULT_THRESHOLD
    name: str = "clarilm"


@dataclass(frozen=True)
class Decision:
    """Whether a question is asked back, and why.

    Attributes:
        asks: Whether the reply is a clarifying question.
        p_ask: Probability of asking, from the decision's tokens.
        threshold: What it was held against.
    """

    asks: bool
    p_ask: float
    threshold: float


@dataclass(frozen=True)
class AssistantReply:
    """A reply, or the reason why there is none.

    Attributes:
        decision: None where the question could not be put to the model.
        text: The clarifying question or the answer; empty where there is none.
        error: A sentence; empty where there is a reply.
    """

    decision: Decision | None
    text: str = ""
    error: str = ""


class Assistant:
    """A loaded model that decides and replies.

    Args:
        spec: What it is made of; weights are read here, once.
        options: Lengths and batch size.

    Raises:
        ClarilmError: The base model cannot be loaded, or the adapter belongs to another one.
    """

    def __init__(self, spec: AssistantSpec, options: AssistantOptions) -> None:
        self.spec = spec
        self._options = options
        self._decoder = Decoder(spec.base_model, spec.adapter, self._options.batch_size)

    def reply(
        self, questions: Sequence[str], threshold: float | None = None, write: Writer | None = None
    ) -> list[AssistantReply]:
        """Reply to questions that have nothing to do with one another.

        A question that cannot be put to the model costs itself only.

        Args:
            questions: Users' first questions.
            threshold: In place of the fitted one.
            write: Writes the replies in place of this model, as a server that decodes faster does.

        Returns:
            One reply per question, in their order, whatever the batches.
        """
        prompts = [clarification_prompt(question) for question in questions]
        errors = [self._objection(question, prompt) for question, prompt in zip(questions, prompts, strict=True)]
        fine = [row for row, error in enumerate(errors) if not error]
        replies = [AssistantReply(None, error=error) for error in errors]
        if fine:
            decisions = self._decide([prompts[row] for row in fine], threshold)
            asks = [decided.asks for decided in decisions]
            texts = (write or self._write)([prompts[row] for row in fine], asks)
            for row, decided, text in zip(fine, decisions, texts, strict=True):
                replies[row] = AssistantReply(decided, text)
        return replies

    def converse(self, threshold: float | None = None) -> "Conversation":
        """Begin a conversation.

        Args:
            threshold: In place of the fitted one.

        Returns:
            A conversation without turns.
        """
        return Conversation(self, threshold)

    def decide(self, prompt: Sequence[Message], threshold: float | None = None) -> Decision:
        """Decide whether to ask back.

        Args:
            prompt: Chat messages before the reply.
            threshold: In place of the fitted one.

        Returns:
            The decision.
        """
        return self._decide([prompt], threshold)[0]

    def stream(self, prompt: Sequence[Message], asks: bool, shown: Callable[[str], None]) -> str:
        """Write a reply, handing over its text as it comes.

        Args:
            prompt: Chat messages before the reply.
            asks: Whether the reply is to be a clarifying question.
            shown: Is given each piece of text.

        Returns:
            The whole reply.
        """
        return self._decoder.stream(self._decoder.begun(prompt, asks), self._options.max_new_tokens, shown)

    def check(self, question: str, prompt: Sequence[Message]) -> None:
        """Refuse what cannot be put to the model.

        Raises:
            ClarilmError: The question is empty, or prompt and reply do not fit the model's context.
        """
        if error := self._objection(question, prompt):
            raise ClarilmError(error)

    def _write(self, prompts: Sequence[Sequence[Message]], asks: Sequence[bool]) -> list[str]:
        return self._decoder.replies(prompts, asks, self._options.max_new_tokens)

    def _decide(self, prompts: Sequence[Sequence[Message]], threshold: float | None) -> list[Decision]:
        against = self.spec.threshold if threshold is None else threshold
        return [Decision(bool(p >= against), float(p), against) for p in self._decoder.ask_probabilities(prompts)]

    def _objection(self, question: str, prompt: Sequence[Message]) -> str:
        if not question.strip():
            return "The question is empty."
        context = getattr(self._decoder.model.config, "max_position_embeddings", None)
        if context is None:
            return ""
        # A decision line takes far fewer tokens than this; the reply takes what it may.
        needed = len(self._decoder.start(prompt)) + 16 + self._options.max_new_tokens
        if needed <= context:
            return ""
        return (
            f"The question is too long: with the reply it takes {needed:,} tokens, and {self.spec.base_model.source} "
            f"holds {context:,}. Shorten it."
        )


class Conversation:
    """Turns of a user and the assistant; the assistant decides anew at each.

    It was trained on first questions, so what it does after its own clarifying question is an extrapolation.

    Args:
        assistant: Who replies.
        threshold: In place of the fitted one.
    """

    def __init__(self, assistant: Assistant, threshold: float | None = None) -> None:
        self._assistant = assistant
        self._threshold = threshold
        self._turns: list[Message] = []

    def say(self, text: str, decided: Callable[[Decision], None], shown: Callable[[str], None]) -> str:
        """Say something and have it replied to.

        Args:
            text: The user's turn.
            decided: Is told the decision before the reply is written.
            shown: Is given each piece of the reply's text.

        Returns:
            The reply. The conversation holds both turns only if the reply was written to its end.

        Raises:
            ClarilmError: The turn is empty, or the conversation has become longer than the model's context.
        """
        prompt = clarification_prompt(text, self._turns)
        self._assistant.check(text, prompt)
        decision = self._assistant.decide(prompt, self._threshold)
        decided(decision)
        reply = self._assistant.stream(prompt, decision.asks, shown)
        self._turns = [*prompt[1:], {"role": "assistant", "content": completion(decision.asks, reply)}]
        return reply
