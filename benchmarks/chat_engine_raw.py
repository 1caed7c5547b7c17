"""The same calls with the client library alone, as a user would write them: a process that ``chat_engine.py`` measures.

No store, no retries, no limits beyond a semaphore; every answer is kept until the end.
"""

import asyncio
import sys

from openai import AsyncOpenAI, DefaultAioHttpClient

from chat_engine_rows import MODEL, SYSTEM, prompts
from measure import step


async def ask(url: str, calls: int, in_flight: int) -> list[str | None]:
    """Send every prompt and gather the texts.

    Args:
        url: Address of the server.
        calls: Prompts.
        in_flight: Requests at a time.

    Returns:
        The texts, in order.
    """
    places = asyncio.Semaphore(in_flight)
    async with AsyncOpenAI(base_url=url, api_key="none", http_client=DefaultAioHttpClient()) as client:

        async def one(prompt: str) -> str | None:
            async with places:
                completion = await client.chat.completions.create(
                    model=MODEL,
                    messages=[{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt}],
                )
            return completion.choices[0].message.content

        return await asyncio.gather(*(one(prompt) for prompt in prompts(calls)))


if __name__ == "__main__":
    number = int(sys.argv[2])
    with step("net"):
        texts = asyncio.run(ask(sys.argv[1], number, int(sys.argv[3])))
    if sum(map(bool, texts)) < number:
        raise SystemExit("answers are missing")
