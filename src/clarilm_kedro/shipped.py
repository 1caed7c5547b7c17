"""Files that the installed package carries: a configuration may travel as an archive, without a project around it.

Prompts, prices and sources lie in the package. The sample world and ``logging.yml`` lie where Kedro and a fresh clone
look for them, outside of ``src``; ``setup.py`` copies them into a wheel.
"""

from pathlib import Path

from clarilm_kedro.errors import ClarilmError

_PACKAGE = Path(__file__).parent
# In a wheel -> in a checkout, relative to the package and to the project.
COPIED = {"sample/files": "data/01_raw/sample", "logging.yml": "conf/logging.yml"}


def shipped_file(name: str) -> Path:
    """Find a file or a folder of the package, in a wheel or in a checkout.

    Args:
        name: Its path in the package, such as ``prompts`` or ``sample/files``.

    Returns:
        Where it lies.

    Raises:
        ClarilmError: It is not there.
    """
    places = [_PACKAGE / name]
    if name in COPIED:
        places.append(_PACKAGE.parents[1] / COPIED[name])
    for place in places:
        if place.exists():
            return place
    raise ClarilmError(
        f"The installed package does not hold its '{name}' (looked for {' and '.join(map(str, places))}). "
        "Install it again."
    )
