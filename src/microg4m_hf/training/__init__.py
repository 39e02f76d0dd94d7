"""Recipes and Accelerate loops: where data, metrics and models meet."""
