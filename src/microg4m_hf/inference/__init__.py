"""Captions and answers from vision-language models: runners that can be stopped at any moment and go on."""
