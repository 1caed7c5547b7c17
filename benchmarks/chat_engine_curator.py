"""The same calls with bespokelabs-curator, in its own virtual environment: a process that ``chat_engine.py`` measures.

Set up before the import: curator's vocabulary for counting tokens is taken from litellm's package instead of the
network, without which it does not start offline, and its telemetry is off. Its limits per minute, which it would take
from the server's headers, are set out of reach.
"""

import importlib.metadata
import logging
import os
import sys
from pathlib import Path
from typing import Any

from chat_engine_rows import MODEL, SYSTEM, prompts
from measure import step

UNLIMITED = 1_000_000_000


def prepare(store: Path) -> None:
    """Set what curator and the data set library read from the environment when they are imported."""
    litellm = importlib.metadata.distribution("litellm").locate_file("litellm")
    vocabulary = Path(str(litellm)) / "litellm_core_utils" / "tokenizers"
    os.environ |= {
        "TIKTOKEN_CACHE_DIR": str(vocabulary),
        "TELEMETRY_ENABLED": "false",
        "LITELLM_LOCAL_MODEL_COST_MAP": "true",
        "HF_HOME": str(store / "huggingface"),
        "HF_HUB_OFFLINE": "1",
        "OPENAI_API_KEY": "none",
    }


def main(url: str, store: Path, calls: int, in_flight: int, name: str) -> None:
    """Ask for every row and count the answers.

    Args:
        url: Address of the server.
        store: Folder for its cache.
        calls: Rows.
        in_flight: Requests at a time.
        name: Name of the step.

    Raises:
        SystemExit: Answers are missing.
    """
    from bespokelabs import curator

    from datasets import Dataset

    class Asking(curator.LLM):
        """Sends the two messages, takes the text."""

        def prompt(self, row: dict[str, Any]) -> list[dict[str, str]]:
            return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": row["prompt"]}]

        def parse(self, row: dict[str, Any], response: str) -> dict[str, Any]:
            return {"prompt": row["prompt"], "answer": response}

    logging.disable(logging.INFO)
    limits = dict.fromkeys(("max_requests_per_minute", "max_tokens_per_minute"), UNLIMITED)
    with step(name):
        asking = Asking(
            model_name=MODEL,
            backend="openai",
            backend_params={"base_url": url, "max_concurrent_requests": in_flight, **limits},
        )
        rows = Dataset.from_list([{"prompt": prompt} for prompt in prompts(calls)])
        answered = asking(rows, working_dir=str(store / "curator")).dataset
        usable = sum(map(bool, answered["answer"]))
    if usable < calls:
        raise SystemExit(f"{calls - usable} of {calls} answers are missing")


if __name__ == "__main__":
    prepare(Path(sys.argv[2]))
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
