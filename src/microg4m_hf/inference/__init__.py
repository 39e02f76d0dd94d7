"""Models at work: the pipeline of named actions, and captions and answers that can be stopped at any moment."""
