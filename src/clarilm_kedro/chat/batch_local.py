"""Batches in files that the user runs, with ``vllm run-batch`` or anything else that speaks the format."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from clarilm_kedro.chat.batch import BatchRows
from clarilm_kedro.chat.errors import BatchPending
from clarilm_kedro.chat.journal import Shard
from clarilm_kedro.chat.orders import Delivery
from clarilm_kedro.chat.stats import StageStats
from clarilm_kedro.chat.store import ResponseStore

if TYPE_CHECKING:
    from clarilm_kedro.chat.endpoint import ChatEndpoint


class LocalBatches(BatchRows):
    """A call in the mode ``batch_files``: reads the answers that are there, and writes files of what is missing."""

    way = "batch files"
    answers_stay = True

    def __init__(self, model: "ChatEndpoint", store: ResponseStore, stage: str, stats: StageStats) -> None:
        super().__init__(model, store, stage, stats)
        self._looked = False

    def _owes(self) -> bool:
        return not self._looked and any(self._answers_of(shard).exists() for shard in self._journal.unfinished())

    def _round(self, owed: bool) -> None:
        if not owed:
            self._write()
        self._looked = True
        for shard in self._journal.unfinished():
            path = self._answers_of(shard)
            if path.exists():
                # vLLM writes while it runs, so what is missing may still come.
                self._read_in(shard, [path], None, None)
        if self._hopeless:
            self._raise_if_hopeless(self._hopeless)

    def _write(self) -> None:
        written: list[Shard] = []
        reserved: list[float] = []
        try:
            for cut_file in self._cuts():
                money = self._reserve(cut_file)
                if isinstance(money, Delivery):
                    cut_file.path.unlink()
                    self._raise_if_hopeless(money)
                else:
                    reserved.append(money)
                    written.append(self._journalled(cut_file))
        finally:
            for each in reserved:
                self._store.budget.settle(each, 0.0)
        if written:
            raise BatchPending(self._what_to_type(written))

    def _what_to_type(self, shards: list[Shard]) -> str:
        n_requests = sum(shard.n_requests for shard in shards)
        model = shlex.quote(self._model.options.model)
        lines = [
            f"vllm run-batch -i {_quoted(self._requests_of(shard.sha))} -o {_quoted(self._answers_of(shard))} "
            f"--model {model}"
            for shard in shards
        ]
        partly = [shard for shard in self._journal.unfinished() if shard.lines_read]
        begun = (
            f"{len(partly)} files have been answered in part; if that run is still going on, wait for its end instead. "
            if partly
            else ""
        )
        return (
            f"Stage {self._stage} (chat model '{self._model.name}') waits for {n_requests} replies. {begun}The "
            f"requests are in {len(shards)} files; answer them with\n\n"
            + "\n".join(lines)
            + "\n\nand then type the same kedro command again: it reads the answers and goes on."
        )

    def _answers_of(self, shard: Shard) -> Path:
        return self._folder / f"{shard.sha}.out.jsonl"


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
