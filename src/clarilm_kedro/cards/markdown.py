"""Markdown that both cards are made of."""

import math
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from clarilm_kedro.cards.options import CardOptions
from clarilm_kedro.metrics.report import SCRIPTED_TEACHER

#: Inputs that training data come from, in the order of the pipelines; test sets are named with the results.
TRAINING_INPUTS = (
    *("sharegpt", "wildchat", "personas", "ambigqa", "natural_questions", "popqa", "in3_train"),
    *("published_train", "published_preferences"),
)


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Write a table; what would break a cell is escaped.

    Args:
        headings: Of the columns.
        rows: Their cells.

    Returns:
        Markdown, without a line break at the end.
    """
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def sources_table(options: CardOptions, sources: Mapping[str, Mapping[str, Any]]) -> str:
    """Name what the training data were made of, with licences.

    Args:
        options: Hold the inputs.
        sources: The public sources, as ``sources.yml`` lists them.

    Returns:
        A Markdown table: input, file, licence, what one has to know.
    """
    by_input = {name: source for source in sources.values() for name in source.get("inputs") or {}}
    rows = []
    for name in TRAINING_INPUTS:
        path = options.inputs.get(name)
        if path is None:
            continue
        terms = _terms(path, by_input.get(name), options.sample_dir)
        rows.append((name, PurePosixPath(path).name, *terms))
    return markdown_table(("input", "file", "licence", "notice"), rows)


def says_scripted(teachers: Sequence[str]) -> bool:
    """Whether the sample world's scripted teacher had a part."""
    return any(SCRIPTED_TEACHER in teacher for teacher in teachers)


def percent(value: float) -> str:
    """Write a share in percent, as the results table does; a dash where there is none."""
    return "-" if math.isnan(value) else f"{100 * value:.1f}"


def _terms(path: str, source: Mapping[str, Any] | None, sample_dir: str) -> tuple[str, str]:
    if PurePosixPath(path).is_relative_to(PurePosixPath(sample_dir)):
        return "Apache-2.0", "The sample world, written for clarilm-kedro; it describes no real users."
    if source is None:
        return "not known", "A file of whoever ran this; its terms are theirs to state."
    licence = source["licence"]
    return str(licence["name"]), f"If the file is the public one: {' '.join(str(licence['notice']).split())}"


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")


def render(file: str, **values: object) -> str:
    """Fill one of this package's templates; the values are text and stay text.

    Args:
        file: Its name.
        **values: By the names that the template uses; a missing one is an error.

    Returns:
        Markdown.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    # No autoescape: Markdown is not HTML, and table cells are escaped where they are made.
    environment = Environment(
        loader=PackageLoader("clarilm_kedro", "cards"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
    )
    return environment.get_template(file).render(**values)
