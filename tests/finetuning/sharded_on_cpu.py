"""The worker for tests of sharded trainings on a CPU; END_AT ends it at a step, as a kill would.

accelerate offers FSDP on accelerators only; here it is told that it has some. All else is as on GPUs.
"""

import os
import sys
from typing import Any

from accelerate import PartialState
from accelerate.utils import DistributedType

from clarilm_kedro.finetuning._watch import Watch
from clarilm_kedro.finetuning.worker import main

_init = PartialState.__init__
_on_step_end = Watch.on_step_end


def _with_gloo(self: Any, *args: Any, **settings: Any) -> None:
    _init(self, *args, **settings)
    PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU


def _end(self: Any, args: Any, state: Any, control: Any, **given: Any) -> None:
    _on_step_end(self, args, state, control, **given)
    if state.global_step == int(os.environ["END_AT"]):
        os._exit(1)


if __name__ == "__main__":
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        PartialState.__init__ = _with_gloo
    if os.environ.get("END_AT"):
        Watch.on_step_end = _end  # type: ignore[method-assign]
    sys.exit(main(sys.argv[1:]))
