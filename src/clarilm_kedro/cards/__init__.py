"""Model card and data card, in Hugging Face's format, written from what a run produced."""
