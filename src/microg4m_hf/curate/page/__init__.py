"""The review page: look at clips and people, and decide, with the keyboard."""
