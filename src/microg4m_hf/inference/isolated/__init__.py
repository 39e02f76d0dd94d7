"""Models that run in another Python environment."""
