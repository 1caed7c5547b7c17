"""What follows from each thing that can become of a request: the one table that the engine acts on."""

from enum import StrEnum

from clarilm_kedro.chat.types import Kind


class Action(StrEnum):
    """What the engine does next."""

    DELIVER = "deliver"
    #: The same request again, later; the row fails when the attempts are used up.
    RETRY = "retry"
    #: Once, with the error shown to the model; the row fails when the second reply is no better.
    ASK_AGAIN = "ask_again"
    #: Once, with twice the room for the reply.
    GROW = "grow"
    FAIL_ROW = "fail_row"
    #: No other request would fare better.
    FAIL_RUN = "fail_run"


ACTIONS: dict[Kind, Action] = {
    Kind.OK: Action.DELIVER,
    Kind.CONNECTION: Action.RETRY,
    Kind.TIMEOUT: Action.RETRY,
    Kind.RATE_LIMIT: Action.RETRY,
    Kind.SERVER: Action.RETRY,
    Kind.NOT_JSON: Action.RETRY,
    Kind.INVALID_JSON: Action.ASK_AGAIN,
    Kind.INVALID_SCHEMA: Action.ASK_AGAIN,
    Kind.TRUNCATED: Action.GROW,
    Kind.BAD_REQUEST: Action.FAIL_ROW,
    Kind.EMPTY: Action.FAIL_ROW,
    Kind.REFUSAL: Action.FAIL_ROW,
    Kind.CONTENT_FILTER: Action.FAIL_ROW,
    Kind.AUTH: Action.FAIL_RUN,
    Kind.NOT_FOUND: Action.FAIL_RUN,
    Kind.QUOTA: Action.FAIL_RUN,
    Kind.BUDGET: Action.FAIL_RUN,
}

#: What to do about the kinds that end a run.
ADVICE: dict[Kind, str] = {
    Kind.AUTH: "The endpoint rejects the key. It is read from the environment variable <NAME>_API_KEY of the model's "
    "credentials entry (OPENAI_API_KEY for openai), or from conf/local/credentials.yml.",
    Kind.NOT_FOUND: "Check that the endpoint serves a model of this name and that base_url ends with /v1.",
    Kind.QUOTA: "The account has no credit left.",
    Kind.BUDGET: "Raise budget_usd to go on.",
}
