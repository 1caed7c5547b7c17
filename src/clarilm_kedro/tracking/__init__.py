"""What MLflow is told about a run: its name, data, tables and trained models. docs/tracking.md is the guide."""
