"""Where a served model is, and the key to it. The key comes from the environment and goes into nothing but requests."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ..errors import RecipeError

OPENAI = "https://api.openai.com/v1"
_HERE = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Endpoint:
    """A server that speaks the OpenAI protocol, and how to deal with it; none of it changes an answer."""

    base_url: str
    key: str = field(repr=False)  # "" for a server that wants none
    concurrency: int = 8  # requests under way at the same time
    timeout: float = 120.0  # seconds for one request
    tries: int = 6  # of one item, for errors that pass; a server that asks to wait uses none up
    patience: float = 900.0  # seconds that one wait, or all waits of one item, may take
    backoff: float = 0.5  # seconds before the second try, doubled for each further one
    price_in: float | None = None  # per 1,000 tokens
    price_out: float | None = None

    def __post_init__(self) -> None:
        if self.concurrency < 1 or self.tries < 1 or self.timeout <= 0:
            raise RecipeError("--concurrency and --tries are at least 1, --timeout is more than 0 seconds")

    def without_key(self, text: str) -> str:
        """A message in which the key is hidden, for everything that is written or shown.

        >>> Endpoint("http://localhost/v1", "sk-123456").without_key("Incorrect key sk-123456")
        'Incorrect key ***'
        """
        return text.replace(self.key, "***") if self.key else text

    def answer_without_key(self, text: str) -> str:
        """The same for what a model says, where a stand-in such as "x" or "EMPTY" is a word and no secret."""
        return self.without_key(text) if len(self.key) >= 12 else text


def find_key(base_url: str | None, key_env: str | None) -> tuple[str, str]:
    """The address to use and the key for it, from ``OPENAI_API_KEY`` or the variable that ``key_env`` names.

    A key is required at OpenAI and where ``key_env`` was given. A server of one's own mostly wants none, and
    ``OPENAI_API_KEY`` is not sent in clear text to another machine.
    """
    url = base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RecipeError("--base-url is no web address; it looks like http://localhost:8000/v1")
    if parts.username or parts.password or parts.query:
        raise RecipeError(
            "--base-url holds a user, a password or a query, which would be written into logs; "
            "put the key into an environment variable and name it with --key-env"
        )
    in_clear = parts.scheme == "http" and parts.hostname not in _HERE
    name = key_env or "OPENAI_API_KEY"
    key = "" if in_clear and not key_env else os.environ.get(name, "").strip()
    if not key and (key_env or url == OPENAI):
        raise RecipeError(f"the environment variable {name} is not set; export {name}=… with the key of the server")
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise RecipeError(f"the environment variable {name} holds characters that no key has; export it again")
    return url, key
