"""What a model says to a batch of prompts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..items import TextSettings
from .inputs import ClipInputs


@dataclass(frozen=True)
class Generation:
    """One answer: its text, the tokens read and written, and whether the model came to an end by itself."""

    text: str
    read: int
    tokens: int
    ended: bool

    @property
    def flags(self) -> list[str]:
        """What a reader of the results should know: cut off at the limit, or nothing said at all."""
        return ["length"] * (not self.ended) + ["empty"] * (not self.text)


class Generator:
    """Generates as the settings say: greedy, or sampled with a seed of each item's own."""

    def __init__(self, model: Any, processor: Any, settings: TextSettings) -> None:
        self.model, self.tokenizer, self.settings = model, processor.tokenizer, settings
        own = model.generation_config
        ends = own.eos_token_id if own.eos_token_id is not None else self.tokenizer.eos_token_id
        self.ends = [] if ends is None else list(ends) if isinstance(ends, (list, tuple)) else [int(ends)]
        pads = (own.pad_token_id, self.tokenizer.pad_token_id, *self.ends, 0)
        self.options: dict[str, Any] = {
            "max_new_tokens": settings.max_new_tokens,
            "eos_token_id": self.ends or None,
            "pad_token_id": next(pad for pad in pads if pad is not None),
            "num_beams": 1,
            "use_cache": True,
            "do_sample": settings.temperature > 0,
            "temperature": settings.temperature or None,
            # Without this, what a checkpoint says for sampling is warned about at every greedy call.
            **({} if settings.temperature > 0 else {"top_p": None, "top_k": None}),
        }

    @property
    def one_at_a_time(self) -> bool:
        """Sampled answers do not depend on the company only where there is none."""
        return self.settings.temperature > 0

    def say(self, inputs: dict[str, Any], name: str = "", **more: Any) -> list[Generation]:
        """The answers to a batch; ``name`` is what a sampled item's seed is made of."""
        import torch

        if self.one_at_a_time:
            digest = hashlib.sha256(f"{self.settings.seed} {name}".encode()).digest()
            torch.manual_seed(int.from_bytes(digest[:7], "big"))
        with torch.inference_mode():
            out = self.model.generate(**inputs, **self.options, **more)
        read = inputs["attention_mask"].sum(1).tolist()
        rows = out[:, inputs["input_ids"].shape[1] :].tolist()
        return [self._said(row, count) for row, count in zip(rows, read, strict=True)]

    def logits(self, inputs: dict[str, Any], steps: int, **more: Any) -> Any:
        """The scores of all tokens at each of the first greedy steps: (rows, steps, tokens)."""
        import torch

        options = self.options | {
            "max_new_tokens": steps,
            "do_sample": False,
            "temperature": None,
            "eos_token_id": None,
        }
        with torch.inference_mode():
            out = self.model.generate(**inputs, **options, **more, return_dict_in_generate=True, output_logits=True)
        return torch.stack(out.logits, dim=1).float()

    def _said(self, ids: list[int], read: int) -> Generation:
        end = next((place for place, token in enumerate(ids) if token in self.ends), None)
        words = ids if end is None else ids[:end]
        text = self.tokenizer.decode(words, skip_special_tokens=True).strip()
        return Generation(text, read, len(words) if end is None else len(words) + 1, end is not None)


# Prompts of several clips or questions as one batch of tensors, padded on the left.


def collate_prompts(items: Sequence[tuple[ClipInputs, int]], *, after: int = 0) -> dict[str, Any]:
    """Token ids, attention mask and marks of ``(clip, number of the query)`` rows, all equally long.

    The filling stands before the prompt, or behind its first ``after`` tokens, and repeats the row's last token:
    it is masked, and no rule about repeated tokens (``repetition_penalty``) sees a token that the prompt lacks, so
    the company a prompt is in cannot change its answer.
    """
    import torch

    rows = [item.input_ids[number] for item, number in items]
    length = max(map(len, rows))
    ids = torch.empty((len(rows), length), dtype=torch.long)
    mask = torch.ones_like(ids)
    marks = {name: torch.zeros_like(ids) for name in items[0][0].token_fields}
    for place, (row, (item, _)) in enumerate(zip(rows, items, strict=True)):
        gap = length - len(row)
        ids[place] = torch.tensor([*row[:after], *[row[-1]] * gap, *row[after:]])
        mask[place, after : after + gap] = 0
        for name, table in marks.items():
            values = item.token_field(name, len(row))
            table[place] = torch.tensor([*values[:after], *[0] * gap, *values[after:]])
    return {"input_ids": ids, "attention_mask": mask, **marks}


def collate_visuals(items: Sequence[ClipInputs]) -> dict[str, Any]:
    """Pixels, grids and sizes of clips of equal shape, one behind the other."""
    import torch

    return {name: torch.cat([item.visual[name] for item in items]) for name in items[0].visual}


def move_to(inputs: dict[str, Any], model: Any) -> dict[str, Any]:
    """On the model's device; pixels in the model's number type (grids and times keep theirs)."""
    return {
        name: value.to(model.device, model.dtype if value.is_floating_point() and value.ndim > 1 else value.dtype)
        for name, value in inputs.items()
    }
