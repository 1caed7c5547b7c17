"""A raw input by the name of its global, for inputs that no catalog entry of their own names."""

from collections.abc import Mapping
from typing import Any

from clarilm_kedro.datasets.raw_input import InputError
from clarilm_kedro.datasets.records import RecordsDataset


class NamedInputDataset(RecordsDataset):
    """The rows at ``inputs.<name>``; read-only. For dataset patterns, which fill in names but look nothing up.

    ```yaml
    "benchmark_{name}":
      type: clarilm_kedro.datasets.named_input.NamedInputDataset
      name: "{name}"
      inputs: "${globals:inputs}"
    ```

    Args:
        name: Name of the input.
        inputs: The global ``inputs``: name to a file, a folder or a glob, or null.
        metadata: For kedro-viz and people; not used here.

    Raises:
        InputError: The global has no such name.
    """

    def __init__(self, *, name: str, inputs: Mapping[str, str | None], metadata: dict[str, Any] | None = None) -> None:
        if name not in inputs:
            raise InputError(
                f"The benchmark '{name}' has no inputs.{name}: add it to conf/base/globals.yml, a file, a folder or a "
                "glob; null leaves it out."
            )
        super().__init__(filepath=inputs[name], name=name, metadata=metadata)
