"""Training ClariLM and its variants: SFT, DPO, the threshold on P(ask) (paper, section 3.3.4 and 3.3.5)."""

from clarilm_kedro.pipelines.training.pipeline import create_pipeline
from clarilm_kedro.pipelines.training.schemas import VARIANTS, Variant, system_of

__all__ = ["VARIANTS", "Variant", "create_pipeline", "system_of"]
