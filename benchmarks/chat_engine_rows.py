"""The prompts that every program of ``chat_engine.py`` sends; nothing beyond the standard library is imported."""

from collections.abc import Iterator

MODEL = "benchmark"
SYSTEM = (
    "You read the first question of a person to an assistant. Write eight questions that the assistant could ask back "
    "before it answers. Each names one thing that the person has left open and that would change the answer: what it "
    "is for, for whom, how much, by when, which variant, what was tried. Do not ask for what the question already "
    'says. Do not answer it. Reply with JSON of the form {"questions": ["..."]} and nothing else.'
)
_TOLD = (
    "We moved into an old house last spring and want to make something of the garden behind it, which nobody has "
    "looked after for years. There is a walnut tree, a wall that faces south, a shed without a roof, and a lot of ivy. "
)


def prompts(number: int) -> Iterator[str]:
    """Give user messages that are all different, 1.6 kB each.

    Args:
        number: How many.

    Yields:
        Messages; with :data:`SYSTEM` and the model a request of about 2.1 kB.
    """
    for row in range(number):
        yield f"Plan {row}. {_TOLD * 7}What should I do first with plot {row}?"
