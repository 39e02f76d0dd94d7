"""Collate prompts into a batch and generate from it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..items import TextSettings
from .inputs import ClipInputs

Row = tuple[ClipInputs, int]  # a clip, and the number of one of its queries


@dataclass(frozen=True)
class Generation:
    """A generated text, the number of prompt and generated tokens, and whether the model ended it by itself."""

    text: str
    prompt_tokens: int
    new_tokens: int
    is_complete: bool
    likelihood: float | None = None  # mean log-probability of the generated tokens, if it was asked for

    @property
    def flags(self) -> list[str]:
        """Remarks for the results: ``"length"`` if the text was cut off, ``"empty"`` if there is none."""
        return ["length"] * (not self.is_complete) + ["empty"] * (not self.text)


class Generator:
    """Generate greedily, or sample with a seed per item."""

    def __init__(self, model: Any, processor: Any, settings: TextSettings) -> None:
        self.model, self.tokenizer, self.settings = model, processor.tokenizer, settings
        config = model.generation_config
        eos = config.eos_token_id if config.eos_token_id is not None else self.tokenizer.eos_token_id
        self.eos_ids = [] if eos is None else list(eos) if isinstance(eos, (list, tuple)) else [int(eos)]
        pads = (config.pad_token_id, self.tokenizer.pad_token_id, *self.eos_ids, 0)
        self.options: dict[str, Any] = {
            "max_new_tokens": settings.max_new_tokens,
            "eos_token_id": self.eos_ids or None,
            "pad_token_id": next(pad for pad in pads if pad is not None),
            "num_beams": 1,
            "use_cache": True,
            "do_sample": settings.temperature > 0,
            "temperature": settings.temperature or None,
            # Without this, greedy generation warns about the sampling options of the checkpoint.
            **({} if settings.temperature > 0 else {"top_p": None, "top_k": None}),
        }

    @property
    def needs_batch_size_one(self) -> bool:
        """Sampling uses batch size 1, so an answer never depends on its batch."""
        return self.settings.temperature > 0

    @property
    def needs_likelihood(self) -> bool:
        """Whether texts of several turns are compared, by the probability of their tokens or with it for ties."""
        return self.settings.turns > 1

    def generate(self, inputs: dict[str, Any], name: str = "", **options: Any) -> list[Generation]:
        """Generate for a batch. With sampling, ``name`` and the seed of the settings determine the random numbers."""
        import torch

        if self.needs_batch_size_one:
            digest = hashlib.sha256(f"{self.settings.seed} {name}".encode()).digest()
            torch.manual_seed(int.from_bytes(digest[:7], "big"))
        recorder = LikelihoodRecorder() if self.needs_likelihood else None
        if recorder is not None:
            from transformers import LogitsProcessorList

            options["logits_processor"] = LogitsProcessorList([recorder])
        with torch.inference_mode():
            output = self.model.generate(**inputs, **self.options, **options)
        prompt_tokens = inputs["attention_mask"].sum(1).tolist()
        rows = output[:, inputs["input_ids"].shape[1] :].tolist()
        generations = [self._decode(row, count) for row, count in zip(rows, prompt_tokens, strict=True)]
        if recorder is None:
            return generations
        means = recorder.means(output, [generation.new_tokens for generation in generations])
        return [replace(one, likelihood=mean) for one, mean in zip(generations, means, strict=True)]

    def logits(self, inputs: dict[str, Any], steps: int, **options: Any) -> Any:
        """Return the logits of the first greedy steps, of shape (rows, steps, vocabulary)."""
        import torch

        options |= self.options | {
            "max_new_tokens": steps,
            "do_sample": False,
            "temperature": None,
            "eos_token_id": None,
        }
        with torch.inference_mode():
            output = self.model.generate(**inputs, **options, return_dict_in_generate=True, output_logits=True)
        return torch.stack(output.logits, dim=1).float()

    def _decode(self, ids: list[int], prompt_tokens: int) -> Generation:
        end = next((place for place, token in enumerate(ids) if token in self.eos_ids), None)
        kept = ids if end is None else ids[:end]
        text = self.tokenizer.decode(kept, skip_special_tokens=True).strip()
        return Generation(text, prompt_tokens, len(kept) + (end is not None), end is not None)


class LikelihoodRecorder:
    """A logits processor that changes nothing and notes the log-probability of each generated token.

    Only the last step is kept as a whole: the token that was chosen from it is the last one of the next call.
    """

    def __init__(self) -> None:
        self._last: Any = None
        self._chosen: list[Any] = []

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        self._note(input_ids)
        self._last = scores.float().log_softmax(-1)
        return scores

    def means(self, output: Any, counts: Sequence[int]) -> list[float]:
        """Return the mean over the first ``counts`` tokens of every row; ``output`` is what ``generate`` returned."""
        import torch

        self._note(output)
        self._last = None
        rows = torch.stack(self._chosen, dim=1).cpu().double()
        return [float(row[:count].mean()) if count else 0.0 for row, count in zip(rows, counts, strict=True)]

    def _note(self, ids: Any) -> None:
        if self._last is not None:
            self._chosen.append(self._last.gather(1, ids[:, -1:].to(self._last.device))[:, 0])


def collate_prompts(rows: Sequence[Row], *, pad_after: int = 0) -> dict[str, Any]:
    """Pad prompts to equal length.

    The padding repeats the last token of a prompt instead of using a pad token. It is masked, and as it adds no new
    token, ``repetition_penalty`` and the like work as without it, so an answer does not depend on its batch.

    Args:
        rows: The prompts.
        pad_after: Insert the padding behind this many tokens. The default is left padding.

    Returns:
        Token ids, attention mask, and the other per-token inputs of the processor.
    """
    import torch

    prompts = [item.input_ids[number] for item, number in rows]
    length = max(map(len, prompts))
    ids = torch.empty((len(prompts), length), dtype=torch.long)
    mask = torch.ones_like(ids)
    fields = {name: torch.zeros_like(ids) for name in rows[0][0].token_fields}
    for place, (prompt, (item, _)) in enumerate(zip(prompts, rows, strict=True)):
        gap = length - len(prompt)
        ids[place] = torch.tensor([*prompt[:pad_after], *[prompt[-1]] * gap, *prompt[pad_after:]])
        mask[place, pad_after : pad_after + gap] = 0
        for name, field in fields.items():
            values = item.token_field(name, len(prompt))
            field[place] = torch.tensor([*values[:pad_after], *[0] * gap, *values[pad_after:]])
    return {"input_ids": ids, "attention_mask": mask, **fields}


def collate_visuals(items: Sequence[ClipInputs]) -> dict[str, Any]:
    """Concatenate the visual inputs of clips with equal shapes."""
    import torch

    return {name: torch.cat([item.visual[name] for item in items]) for name in items[0].visual}


def move_to_model(inputs: dict[str, Any], model: Any) -> dict[str, Any]:
    """Move inputs to the device of the model, and pixels to its dtype (grids and times keep theirs)."""
    return {
        name: value.to(model.device, model.dtype if value.is_floating_point() and value.ndim > 1 else value.dtype)
        for name, value in inputs.items()
    }
