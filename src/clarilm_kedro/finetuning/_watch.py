"""What watches a training. It imports transformers: import it inside functions."""

from collections.abc import Callable, Mapping
from typing import Any

from tqdm.auto import tqdm
from transformers import TrainerCallback

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.finetuning.sharding import trained_are_finite

#: What to do about a training that diverges.
INSTEAD = "Lower learning_rate, raise warmup_share, or set base_model.dtype to float32."


class Watch(TrainerCallback):
    """Shows progress with loss and tokens per second, and gives the curve.

    Args:
        label: What the progress bar is called.
        report: Takes each point of the curve and its step, as it appears.
    """

    #: What Trainer logs and what it is called in the curve.
    NAMES = (
        "loss", "learning_rate", "grad_norm", "preference", "supervised", "kl", "margin", "accuracy", "tokens",
        "seconds", "tokens_per_second", "tflops_per_second", "mfu",
    )  # fmt: skip

    def __init__(self, label: str, report: Callable[[Mapping[str, float], int], None]) -> None:
        self._label, self._report = label, report
        self._bar: Any = None
        self.curve: list[dict[str, float]] = []

    def start(self, trainer: Any) -> None:
        """Tell which trainer is watched."""
        self._trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Open the bar, and report what was trained before an interruption."""
        self._trainer.start_clock()
        for point in state.log_history:
            self._add(point, int(point["step"]))
        self._bar = tqdm(
            total=state.max_steps,
            initial=state.global_step,
            desc=self._label,
            unit="step",
            disable=not state.is_world_process_zero,
        )

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Move the bar; stop before weights that are no numbers any more become the last checkpoint."""
        self._bar.update(1)
        if control.should_save and not trained_are_finite(given["model"]):
            raise ClarilmError(
                f"The adapter's weights are no longer finite after step {state.global_step}, although the loss was. "
                f"Nothing of this step is saved. {INSTEAD}"
            )

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Add a point to the curve."""
        if logs and "loss" in logs:  # without one it is the summary at the end
            self._add(logs, state.global_step)
            self._bar.set_postfix_str(f"loss {logs['loss']:.3f}, {logs['tokens_per_second']:.0f} tok/s")

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Close the bar."""
        self.close()

    def close(self) -> None:
        """Close the bar, also after an error."""
        if self._bar is not None:
            self._bar.close()

    def _add(self, logs: Mapping[str, Any], step: int) -> None:
        if "loss" not in logs:
            return
        point = {name: float(logs[name]) for name in self.NAMES if name in logs}
        self.curve.append({"step": step, **point})
        self._report(point, step)
