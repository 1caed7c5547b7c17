"""The base class of every options block."""

from pydantic import BaseModel, ConfigDict, ValidationError


class Options(BaseModel):
    """A frozen block of options that refuses unknown keys, so that a mistyped ``--params`` is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def problems_of(error: ValidationError, inside: str = "") -> str:
    """Say which options are wrong, and how; without the values, which may be keys.

    Args:
        error: What a block of options raised.
        inside: Start of the names that is left out, since the user did not write it, such as ``model.``.

    Returns:
        ``name: what is wrong``, separated by semicolons.
    """
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    names = [".".join(map(str, each["loc"])).removeprefix(inside) or "settings" for each in problems]
    return "; ".join(f"{name}: {each['msg']}" for name, each in zip(names, problems, strict=True))
