"""What the response store holds: replies, and attempts to get them."""

from dataclasses import dataclass, field

from clarilm_kedro.chat.usage import Usage


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """One row of the table ``responses``.

    Attributes:
        key: See :func:`clarilm_kedro.chat.keys.request_key`.
        model: Model asked for.
        served_model: Model named in the reply.
        stage: Stage that asked first.
        prompt_sha: SHA-256 of the prompt template; ``None`` where the messages come from none.
        body: Raw bytes of the reply (compressed with zlib in the file).
        prompt_tokens: As counted by the server.
        completion_tokens: Likewise.
        system_fingerprint: The provider's name for its set-up, where it gives one.
    """

    key: str
    model: str
    served_model: str | None
    stage: str
    prompt_sha: str | None
    body: bytes
    prompt_tokens: int | None
    completion_tokens: int | None
    system_fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """An attempt about to be made."""

    id: int
    key: str
    stage: str
    model: str
    endpoint: str


@dataclass(frozen=True, slots=True)
class LedgerOutcome:
    """What became of an attempt.

    Attributes:
        id: Of its entry.
        kind: A :class:`~clarilm_kedro.chat.types.Kind`.
        seconds: What it took; ``None`` for a line of a batch.
        usage: Tokens.
        cost_usd: US dollars; ``None`` where the model has no price.
    """

    id: int
    kind: str
    seconds: float | None
    usage: Usage = field(default_factory=Usage)
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """An attempt whose outcome is known when it is entered, as a line of a batch is.

    Attributes:
        key: The request's.
        stage: Stage that asked.
        model: Model asked for.
        endpoint: Who was asked.
        kind: A :class:`~clarilm_kedro.chat.types.Kind`.
        usage: Tokens.
        cost_usd: US dollars; ``None`` where the model has no price.
        response: The reply, if there is one.
    """

    key: str
    stage: str
    model: str
    endpoint: str
    kind: str
    usage: Usage = field(default_factory=Usage)
    cost_usd: float | None = None
    response: StoredResponse | None = None
