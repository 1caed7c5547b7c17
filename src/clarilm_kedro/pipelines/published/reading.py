"""Published training rows: (q, r+) and (q, r+, r-) as somebody else wrote them, told by their columns.

The schema of the paper's own rows is not known here, since they could not be downloaded. So the usual shapes are
understood: a question with a label and a reply; a question with a clarifying question that may be empty; replies in the
format of T(.), "Need Clarification: Yes"; instruction and input; chat messages; chosen and rejected.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.template import Reply, parse_completion
from clarilm_kedro.logs.records import Record, Records

logger = logging.getLogger(__name__)

QUESTION = ("question", "query", "user_question", "user_query", "instruction", "prompt", "input")
LABEL = (
    "need_clarification", "needs_clarification", "require_clarification", "clarification_needed", "asks", "vague",
)  # fmt: skip
CLARIFICATION = ("clarification", "clarifying_question", "clarification_question")
ANSWER = ("answer", "direct_answer")
REPLY = ("response", "output", "reply", "completion", "target", "text")
MESSAGES = ("messages", "conversations")
CHOSEN, REJECTED = "chosen", "rejected"
SIDE_LABELS = (f"{CHOSEN}_asks", f"{REJECTED}_asks")
ORIGIN = ("origin", "source")
#: Understood, and not needed.
IGNORED = ("id", "row_id", "item_id", "question_id", "facet", "facets", "thought", "system", "history", "type", "split")
_KNOWN = {
    *QUESTION, *LABEL, *CLARIFICATION, *ANSWER, *REPLY, *MESSAGES, CHOSEN, REJECTED, *SIDE_LABELS, *ORIGIN, *IGNORED,
}  # fmt: skip
_LABELS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_USERS, _ASSISTANTS = ("user", "human"), ("assistant", "gpt")


@dataclass(frozen=True)
class PublishedRow:
    """A question and the best reaction to it; ``origin`` as published, empty where it is not."""

    row_id: str
    question: str
    asks: bool
    text: str
    origin: str


@dataclass(frozen=True)
class PublishedPair:
    """A question, the better and the worse reaction, and whether each asks."""

    row_id: str
    question: str
    chosen: Reply
    rejected: Reply


class _Shape(NamedTuple):
    """What holds for all rows of an input: whether ``instruction`` says the same in each, beside an ``input``."""

    same_instruction: bool


class _ShapeError(ValueError):
    """A row that cannot be used; the message says why."""


T = TypeVar("T")


def read_rows(records: Records) -> list[PublishedRow]:
    """Read rows (q, r+).

    Args:
        records: The rows as published.

    Returns:
        Those that can be used, in file order; the others are counted in a warning that names the first.

    Raises:
        ClarilmError: No row can be used: names the columns that are missing, those that are not understood, and the
            first row with its file.
    """
    wanted = {"the question": (*QUESTION, *MESSAGES), "the reply": (*CLARIFICATION, *ANSWER, *REPLY, *MESSAGES)}
    return _read(records, wanted, _row)


def read_pairs(records: Records) -> list[PublishedPair]:
    """Read preferences (q, r+, r-); arguments, result and errors as for :func:`read_rows`."""
    wanted = {
        "the question": (*QUESTION, *MESSAGES),
        "the better reply": (CHOSEN,),
        "the worse reply": (REJECTED,),
    }
    return _read(records, wanted, _pair)


def _read(records: Records, wanted: Mapping[str, Sequence[str]], parse: Callable[[Record, str, _Shape], T]) -> list[T]:
    columns = sorted({str(key) for record in records.rows for key in record.data})
    unknown = [name for name in columns if name not in _KNOWN]
    missing = [what for what, names in wanted.items() if records.rows and not set(names) & set(columns)]
    if missing:
        told = "; ".join(f"{what} (one of {_quoted(wanted[what])})" for what in missing)
        raise ClarilmError(
            f"inputs.{records.name}: no column holds {told}. Found: {_quoted(columns)}; not understood: "
            f"{_quoted(unknown) or 'none'}. Rename the columns of {records.rows[0].source_file}."
        )
    if unknown:
        logger.warning("inputs.%s: columns that are not understood are left out: %s.", records.name, _quoted(unknown))
    several = len({record.source_file for record in records.rows}) > 1
    shape = _Shape(len({str(record.data.get("instruction")) for record in records.rows}) == 1)
    read: list[T] = []
    troubles = [f"{reject.where}: {reject.error}" for reject in records.rejects]
    for record in records.rows:
        place = f"{record.source_file}-{record.position}" if several else f"{record.position}"
        try:
            read.append(parse(record, f"{records.name}-{place}", shape))
        except _ShapeError as error:
            troubles.append(f"{record.source_file}, row {record.position}: {error}")
    if troubles and not read:
        raise ClarilmError(
            f"inputs.{records.name}: no row can be used. {troubles[0]}. Found: {_quoted(columns) or 'no column'}; not "
            f"understood: {_quoted(unknown) or 'none'}."
        )
    if troubles:
        logger.warning("inputs.%s: %d rows cannot be used; the first: %s", records.name, len(troubles), troubles[0])
    return read


def _row(record: Record, row_id: str, shape: _Shape) -> PublishedRow:
    data = _flat(record.data)
    reply = _reply(data)
    return PublishedRow(row_id, _question(data, shape), bool(reply.asks), reply.text, _first(data, ORIGIN))


def _pair(record: Record, row_id: str, shape: _Shape) -> PublishedPair:
    data = _flat(record.data)
    chosen, rejected = (_side(data, side, label) for side, label in zip((CHOSEN, REJECTED), SIDE_LABELS, strict=True))
    if chosen == rejected:
        raise _ShapeError("'chosen' and 'rejected' are the same")
    return PublishedPair(row_id, _question(data, shape), chosen, rejected)


def _flat(data: Mapping[str, Any]) -> dict[str, Any]:
    """Read chat messages as columns: the last question of the user, and the reply to it."""
    messages = next((data[name] for name in MESSAGES if data.get(name)), None)
    if messages is None:
        return dict(data)
    if not isinstance(messages, Iterable) or isinstance(messages, str):
        raise _ShapeError(f"the messages are {messages!r:.80}, expected a list")
    said = {"question": "", "response": ""}
    for message in messages:
        role = message.get("role") or message.get("from") if isinstance(message, Mapping) else None
        if role in _USERS:
            said = {"question": _content(message), "response": ""}
        elif role in _ASSISTANTS:
            said["response"] = _content(message)
    return {**data, **{name: text for name, text in said.items() if text}}


def _question(data: Mapping[str, Any], shape: _Shape) -> str:
    given = _first(data, QUESTION)
    instruction, inner = _text(data.get("instruction")), _text(data.get("input"))
    if inner and given == instruction:  # one instruction for all rows is a prompt, not a question
        return inner if shape.same_instruction else f"{instruction}\n{inner}"
    if not given:
        raise _ShapeError("the question is missing or empty")
    return given


def _reply(data: Mapping[str, Any]) -> Reply:
    """Take the decision from the reply's own first line, else from a label, else from whether something is asked."""
    replied = _first(data, REPLY)
    written = parse_completion(replied)
    if written.asks is not None:
        reply = written
    else:
        asked, answered = _first(data, CLARIFICATION), _first(data, ANSWER) or replied
        label = _label(data, LABEL)
        if label is None and not any(name in data for name in CLARIFICATION):
            raise _ShapeError(
                f"nothing says whether a clarification is needed: neither one of {_quoted(LABEL)}, nor a reply that "
                "begins with 'Need Clarification:'"
            )
        asks = bool(asked) if label is None else label
        reply = Reply(asks, (asked or replied) if asks else answered)
    if not reply.text:
        raise _ShapeError("the reply is missing or empty")
    return reply


def _side(data: Mapping[str, Any], side: str, label: str) -> Reply:
    written = parse_completion(_content(data.get(side)))
    if not written.text:
        raise _ShapeError(f"'{side}' is missing or empty")
    if written.asks is not None:
        return written
    asks = _label(data, (label,))
    if asks is None:
        raise _ShapeError(f"'{side}' does not begin with 'Need Clarification:', and there is no '{label}'")
    return Reply(asks, written.text)


def _content(value: Any) -> str:
    """Read a text, a message or the last of several."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = value[-1] if len(value) else ""
    if isinstance(value, Mapping):
        value = value.get("content") or value.get("value")
    return _text(value)


def _label(data: Mapping[str, Any], names: Sequence[str]) -> bool | None:
    value = next((data[name] for name in names if data.get(name) is not None), None)
    if value is None:
        return None
    label = _LABELS.get(str(int(value) if isinstance(value, float) and value in (0, 1) else value).strip().lower())
    if label is None:
        raise _ShapeError(f"the label is {value!r:.80}, expected true, false, yes, no, 1 or 0")
    return label


def _first(data: Mapping[str, Any], names: Sequence[str]) -> str:
    return next((text for name in names if (text := _text(data.get(name)))), "")


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
