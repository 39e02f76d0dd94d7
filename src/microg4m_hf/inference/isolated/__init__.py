"""A model in a Python environment of its own, in a process that can be killed."""
