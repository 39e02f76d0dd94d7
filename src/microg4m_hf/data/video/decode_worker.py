"""Decode the clips that are named on standard input, and write for each how many frames it has, or what is wrong."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from ...errors import MicroG4MError
from .index import read_index
from .pyav import decode_frames, drop_undecodable_frames
from .source import as_source


def decode(path: str) -> dict[str, Any]:
    """Decode all frames of a clip without converting their colors.

    >>> decode("missing.mp4")
    {'error': 'missing.mp4: No such file or directory'}
    """
    try:
        index = read_index(as_source(path))
        shown = drop_undecodable_frames(index)
        decoded = sum(1 for _ in decode_frames(shown, range(len(shown.pts))))
    except MicroG4MError as error:
        return {"error": str(error)}
    return {"frames": decoded, "expected": len(index.pts)}


def main() -> None:
    # Libraries that print would disturb the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        print(json.dumps(decode(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
