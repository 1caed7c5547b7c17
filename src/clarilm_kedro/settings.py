"""Project settings; see https://docs.kedro.org/en/stable/configure/configuration_basics/."""

import os
import warnings

# Both libraries read these before their first import does anything else.
os.environ.setdefault("KEDRO_DISABLE_TELEMETRY", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# Bars of copies within one disk.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

# Said by Kedro and kedro-mlflow about their own code, several times a run.
warnings.filterwarnings("ignore", message=r"The 'preview_fn' feature is experimental")
warnings.filterwarnings("ignore", message=r"register_new_resolver\(\) is deprecated")
# transformers about its own attribute.
warnings.filterwarnings("ignore", message=r"`is_gradient_checkpointing` is deprecated")
warnings.filterwarnings("ignore", message=r".*Add type hints to the `predict` method")

from clarilm_kedro.config import ChainedConfigLoader
from clarilm_kedro.hooks import RunHook, show_errors_plainly
from clarilm_kedro.tracking.hook import TrackingHook

show_errors_plainly()

# Hooks are called last first: the run is checked before MLflow opens it, and summed up before MLflow closes it.
HOOKS = (TrackingHook(), RunHook())
DISABLE_HOOKS_FOR_PLUGINS = ("kedro_mlflow", "kedro-telemetry")

CONFIG_LOADER_CLASS = ChainedConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "config_patterns": {"mlflow": ["mlflow*", "mlflow*/**", "**/mlflow*"]},
}
