"""Options of both cards."""

from pydantic import Field

from clarilm_kedro.options import Options


class CardOptions(Options):
    """What a run cannot know about what it publishes."""

    license: str = Field("other", description="Licence id as the Hugging Face Hub spells it; other: see the card.")
    language: tuple[str, ...] = Field(("en",), description="Languages, ISO 639-1.")
    model_id: str | None = Field(None, description="owner/name of the model on the Hub, for the examples.")
    dataset_id: str | None = Field(None, description="owner/name of the dataset on the Hub.")
    inputs: dict[str, str | None] = Field(description="The global inputs: name to a path or null.")
    sample_dir: str = Field(description="Folder of the sample world; its files have the project's licence.")
