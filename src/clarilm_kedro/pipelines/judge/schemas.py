"""Options of the judge pipeline that are not those of a metric."""

from pydantic import Field

from clarilm_kedro.metrics.judging.agreement import AgreementOptions
from clarilm_kedro.metrics.judging.results import ResultOptions
from clarilm_kedro.options import Options


class AskingOptions(Options):
    """What judges are shown and how many of their calls may fail."""

    show_gold: bool = Field(
        default=False,
        description="Whether the prompt tells the gold label and the gold questions; the paper's does not.",
    )
    reply_chars: int = Field(default=4000, ge=1, description="Longer replies are cut in the prompt.")
    question_chars: int = Field(default=2000, ge=1, description="Longer questions and contexts are cut in the prompt.")
    rule_judge: bool = Field(default=True, description="Whether the rule judges too, which is no language model.")
    max_failed_share: float = Field(
        default=0.02,
        ge=0,
        le=1,
        description="Largest share of calls without any reply; a reply without a verdict is a result and not counted.",
    )


class ReportOptions(Options):
    """How outcomes are summed up."""

    results: ResultOptions = Field(default=ResultOptions(), description="Intervals, warnings and length buckets.")
    agreement: AgreementOptions = Field(default=AgreementOptions(), description="When agreement is worth reading.")
