"""ClariLM in MLflow's model registry: written there, found there, served from there."""
