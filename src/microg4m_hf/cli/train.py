"""``microg4m train har|vlm``: fine-tuning on one process, as ``python -m microg4m_hf.training.har`` and ``.vlm``."""

from __future__ import annotations

import argparse
from functools import partial

from ..training import har
from ..training.launch import add_training_options


def run_vlm(args: argparse.Namespace) -> int:
    from ..training import vlm  # decodes clips, which takes numpy and a third of a second

    return vlm.run(args)


COMMANDS = {
    "har": (
        partial(add_training_options, kind="har"),
        har.run,
        "a video network that predicts what every person in a clip is doing",
    ),
    "vlm": (
        partial(add_training_options, kind="vlm"),
        run_vlm,
        "a LoRA adapter of a vision-language model, on captions and answers",
    ),
}
