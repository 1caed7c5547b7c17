"""Replies of an assistant in one SQLite file, so that an interrupted run goes on where it stopped."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from clarilm_kedro.finetuning.assistant import AssistantReply, Decision
from clarilm_kedro.keyed_cache import KeyedCache, cache_key


class ReplyCache:
    """A cache of replies; the file is made when the first reply is put into it.

    Args:
        path: The SQLite file.
    """

    def __init__(self, path: Path) -> None:
        self._cache = KeyedCache(path, "reply cache")

    def get(self, how: str, questions: Iterable[str]) -> dict[str, AssistantReply]:
        """Look questions up.

        Args:
            how: Names everything that a reply depends on besides the question.
            questions: What to look for.

        Returns:
            The replies to those that are there.

        Raises:
            ClarilmError: The file is not such a cache.
        """
        by_key = {cache_key(how, question): question for question in questions}
        return {by_key[key]: _reply(value) for key, value in self._cache.get(by_key).items()}

    def put(self, how: str, replies: Mapping[str, AssistantReply]) -> None:
        """Keep replies; all of them or none.

        Args:
            how: As for :meth:`get`.
            replies: Reply by question.

        Raises:
            ClarilmError: The file cannot be written or is not such a cache.
        """
        self._cache.put({cache_key(how, question): asdict(reply) for question, reply in replies.items()})


def _reply(value: dict[str, object]) -> AssistantReply:
    decided = value["decision"]
    decision = Decision(**decided) if isinstance(decided, dict) else None
    return AssistantReply(decision, str(value["text"]), str(value["error"]))
