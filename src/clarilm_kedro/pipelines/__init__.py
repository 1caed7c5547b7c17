"""The pipelines of the project; each package re-exports ``create_pipeline``."""
