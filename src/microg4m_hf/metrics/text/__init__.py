"""Scores of captions and answers."""
