"""ClariLM as an MLflow model: a table of questions in, a table of decisions and replies out.

MLflow runs this file when it loads the model (models from code, so nothing is pickled); the package itself lies beside
it, in the model's code folder. https://mlflow.org/docs/latest/ml/model/models-from-code
"""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel, PythonModelContext

from clarilm_kedro.finetuning.assistant import Assistant, AssistantOptions
from clarilm_kedro.registry.package import from_model_config

#: Columns of the replies.
COLUMNS = ("asked", "p_ask", "threshold", "text", "error")


class ClarilmModel(PythonModel):
    """Decides whether to ask back, then asks or answers.

    Input: a column ``question``. Output, a row each: ``asked`` (whether the text is a clarifying question), ``p_ask``,
    ``threshold``, ``text``, and ``error``, a sentence where a question could not be put to the model (the first three
    columns are then null).
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Load the base model and the adapter, once."""
        config = context.model_config
        artifacts = {name: Path(path) for name, path in context.artifacts.items()}
        spec = from_model_config(config, artifacts, _cache_dir(config["cache_dir"]))
        options = {"max_new_tokens": int(config["max_new_tokens"]), "batch_size": int(config["batch_size"])}
        self._options = options
        self._assistant = Assistant(spec, AssistantOptions.model_validate(options))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Reply to questions.

        Args:
            context: Unused.
            model_input: Column ``question``.
            params: ``threshold``, in place of the fitted one.

        Returns:
            One row per question, in their order.
        """
        threshold = (params or {}).get("threshold")
        replies = self._assistant.reply([str(question) for question in model_input["question"]], threshold)
        rows = [
            (each.decision.asks, each.decision.p_ask, each.decision.threshold, each.text, "")
            if each.decision
            else (None, None, None, "", each.error)
            for each in replies
        ]
        # As objects: a server writes None as null, and a missing number as NaN, which is no JSON.
        return pd.DataFrame(rows, columns=list(COLUMNS), index=model_input.index, dtype=object)


def _cache_dir(trained_with: str) -> Path:
    """Where a GGUF base model lies as plain weights: on the machine that trained it is there already."""
    folder = Path(trained_with)
    return folder if folder.is_dir() else Path("~/.cache/clarilm-kedro/base_models").expanduser()


mlflow.models.set_model(ClarilmModel())
