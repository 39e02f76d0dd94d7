"""A model behind a server that speaks the OpenAI chat-completions protocol."""
