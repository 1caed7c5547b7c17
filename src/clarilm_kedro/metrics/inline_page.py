"""Pages with scripts that open from a file: everything inside, nothing asked of a network, no other script can run.

The page's Content-Security-Policy names its own scripts by their SHA-256, so a script that got in through a text would
not run even if escaping failed. Data lies in a script element of a type that browsers do not run.
"""

import base64
import hashlib
import json
from importlib.resources import files
from typing import Any

from markupsafe import Markup

#: Characters that could end a script element or a line of script, as JSON escapes.
_UNSAFE: dict[str, str | int | None] = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}


def json_in_html(data: Any) -> Markup:
    """Write data as JSON that can stand in a script element: no text in it can end the element.

    Args:
        data: What JSON can hold; a number that is not finite must have been replaced.

    Raises:
        ValueError: A number is not finite, which JSON does not know.
    """
    # A lone surrogate cannot be written as UTF-8; the replacement character stands for it.
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    text = text.encode("utf-8", "replace").decode("utf-8")
    return Markup(text.translate(str.maketrans(_UNSAFE)))


def csp_hash(content: str) -> str:
    """Give the source expression of a Content-Security-Policy for an inline script or style.

    Args:
        content: Exactly what stands between the tags.
    """
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode('utf-8')).digest()).decode()}'"


def packaged(name: str) -> str:
    """Read a file that lies beside this module.

    Args:
        name: Its name.
    """
    return files("clarilm_kedro.metrics").joinpath(name).read_text(encoding="utf-8")


def render(template: str, **content: Any) -> str:
    """Fill a template of this package with autoescape; a name that is not given is an error.

    Args:
        template: Its file name.
        **content: What it shows.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("clarilm_kedro.metrics", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**content)
