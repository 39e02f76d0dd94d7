"""Ports for servers that need some time until they use theirs."""

from __future__ import annotations

import random
import socket


def free_port() -> int:
    """Return a port that is not in use, and that the system gives to nobody else who asks for any port.

    The ports that Linux gives begin at 32768.
    """
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as trial:
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
