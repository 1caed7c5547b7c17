"""Uploading what a run made to the Hugging Face Hub: what goes into a repository, and how it gets there."""
