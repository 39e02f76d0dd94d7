"""Captions and answers as training examples: the prompt as the runner writes it, then the text to learn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .frames import read_shown
from .items import Ask, ClipWork, prompt_set
from .vlm.generate import padded, visuals
from .vlm.inputs import Messenger, Prepared, Preparer

IGNORED = -100


class Examples:
    """Turns rows of ``caption`` and ``vqa`` into what a model's ``forward`` takes, with labels.

    Only the text to learn and the token that ends it are labelled.
    """

    def __init__(self, processor: Any, *, prompts: str, frames: int, pick: str = "uniform") -> None:
        self._preparer = Preparer(Messenger(processor, prompt_set(prompts), as_images=False))
        self._tokenizer = processor.tokenizer
        self._frames, self._pick = frames, pick

    def example(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """One row as a batch of one."""
        ask = Ask(row["video_id"], row.get("question"))
        shown = read_shown(row["video"], self._frames, self._pick)
        (item,) = self._preparer.prepare(ClipWork(row["video"], row["video_id"], (ask,)), shown)
        text = str(row["answer"] if ask.question is not None else row["caption"]).strip()
        said = self._tokenizer(text, add_special_tokens=False)["input_ids"] + [self._tokenizer.eos_token_id]
        return _labelled(item, said)


def _labelled(item: Prepared, said: list[int]) -> dict[str, Any]:
    import torch

    prompt = item.ids[0]
    whole = Prepared(item.work, item.asks, [prompt + said], item.visual, item.along)
    labels = torch.tensor([[IGNORED] * len(prompt) + said])
    return {**padded([(whole, 0)]), **visuals([whole]), "labels": labels}
