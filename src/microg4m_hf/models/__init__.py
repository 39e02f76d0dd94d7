"""The networks of the benchmark as transformers models."""
