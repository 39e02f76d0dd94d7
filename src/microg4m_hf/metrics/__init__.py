"""Numbers out of predictions and references."""
