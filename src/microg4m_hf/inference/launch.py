"""Which of several processes this is. ``accelerate launch`` and ``torchrun`` say so in the environment.

No process group is made: the processes share nothing but the run folder, so none waits for another, none is lost with
another, and nothing has to be torn down at the end.
"""

from __future__ import annotations

import os


def rank_and_world() -> tuple[int, int]:
    """The number of this process, and how many there are.

    >>> rank_and_world()
    (0, 1)
    """
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def own_device() -> str:
    """The accelerator of this process, or the CPU."""
    import torch

    if torch.cuda.is_available():
        return f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % torch.cuda.device_count()}"
    return "mps" if torch.backends.mps.is_available() else "cpu"
