"""A clip encoded once, all its questions answered from there: the shared beginning of their prompts is kept as a cache.

The beginning holds the system text and all the clip's tokens, so only the question is left to compute. Families
differ in ways no rule covers (state beside the cache, positions of their own), so the first clip of a run is
answered both ways, and a model for which the scores differ is asked the plain way.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import Any

from ...runtime import is_out_of_memory
from .generate import Generation, Generator, collate_prompts, collate_visuals, move_to
from .inputs import ClipInputs, common_start

_STEPS = 3


def answers(generator: Generator, items: Sequence[ClipInputs], rows: int) -> list[list[Generation]]:
    """Everything asked about clips of equal shape, at most ``rows`` questions in one batch."""
    questions = max(len(item.queries) for item in items)
    length = shared_length(items)
    cache = encode(generator.model, items, length)
    step = max(1, rows // len(items))
    said: list[list[Generation]] = [[] for _ in items]
    for start in range(0, questions, step):
        numbers = range(start, min(questions, start + step))
        table = [(item, min(number, len(item.queries) - 1)) for item in items for number in numbers]
        branch = cache if numbers.stop == questions else copy.deepcopy(cache)
        name = items[0].queries[table[0][1]].id
        found = generator.say(name=name, **_continued(generator.model, table, branch, length))
        for place, texts in enumerate(said):
            texts += found[place * len(numbers) : (place + 1) * len(numbers)]
    # Clips with fewer questions than others of the batch had their last one repeated.
    return [texts[: len(item.queries)] for texts, item in zip(said, items, strict=True)]


def shared_length(items: Sequence[ClipInputs]) -> int:
    """How many tokens all prompts of each clip begin with."""
    return min(common_start(item.input_ids) for item in items)


def encode(model: Any, items: Sequence[ClipInputs], length: int) -> Any:
    """The cache of the first ``length`` tokens of every clip."""
    import torch

    text = {"input_ids": torch.tensor([item.input_ids[0][:length] for item in items])}
    text["attention_mask"] = torch.ones_like(text["input_ids"])
    text |= {name: torch.tensor([item.token_field(name, length) for item in items]) for name in items[0].token_fields}
    inputs = {**text, **collate_visuals(items)}
    positions = _clip_positions(model, [(item, 0) for item in items], text)
    if positions is not None:
        inputs["position_ids"] = positions
    with torch.inference_mode():
        return model(**move_to(inputs, model), use_cache=True, logits_to_keep=1).past_key_values


def why_not(generator: Generator, item: ClipInputs) -> str | None:
    """Why answers of this model cannot come from a shared beginning, or None if the scores are the same both ways."""
    import torch

    tolerance = 0.01 if generator.model.dtype == torch.float32 else 0.35
    pair = [(item, 0), (item, len(item.queries) - 1)]
    try:
        length = shared_length([item])
        shared = generator.logits(
            **_continued(generator.model, pair, encode(generator.model, [item], length), length), steps=_STEPS
        )
    except Exception as error:
        if is_out_of_memory(error):
            raise
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    for row, one in enumerate(pair):
        plain = generator.logits(**plain_inputs(generator.model, [one]), steps=_STEPS)[0]
        for step in range(min(len(plain), shared.shape[1])):
            apart = float((plain[step] - shared[row, step]).abs().max() / plain[step].std().clamp_min(1e-6))
            if not apart <= tolerance:
                return f"its scores differ from plain generation by {apart:.2g} standard deviations"
            if int(plain[step].argmax()) != int(shared[row, step].argmax()):
                break  # a tie, or nearly: from here on the two answers are not about the same words
    return None


def plain_inputs(model: Any, table: Sequence[tuple[ClipInputs, int]]) -> dict[str, Any]:
    """What ``generate`` takes for rows whose clips are encoded for each row anew."""
    return {"inputs": move_to({**collate_prompts(table), **collate_visuals([item for item, _ in table])}, model)}


def _continued(model: Any, table: Sequence[tuple[ClipInputs, int]], cache: Any, length: int) -> dict[str, Any]:
    """Arguments for generating from a cache that holds each clip's first ``length`` tokens once."""
    text = collate_prompts(table, after=length)
    cache.batch_repeat_interleave(len(table) // len({id(item) for item, _ in table}))
    inputs = {"input_ids": text["input_ids"], "attention_mask": text["attention_mask"]}
    clip = _clip_positions(model, table, text)
    if clip is not None:
        import torch

        # The model remembers an offset of the clip it saw last; positions that are given do not depend on it.
        plain = (text["attention_mask"].cumsum(-1) - 1).clamp_min(0)
        inputs["position_ids"] = torch.cat([plain[None], clip])
    return {"inputs": move_to(inputs, model), "past_key_values": cache}


def _clip_positions(model: Any, table: Sequence[tuple[ClipInputs, int]], text: dict[str, Any]) -> Any:
    """Positions in time, height and width for models that count so, or None."""
    import torch

    rope = getattr(model.base_model, "get_rope_index", None)
    if rope is None:
        return None
    accepted = inspect.signature(rope).parameters
    names = [name for name in table[0][0].visual if name in accepted]
    beside = {name: torch.cat([item.visual[name] for item, _ in table]) for name in names}
    return rope(**{name: value for name, value in text.items() if name in accepted}, **beside)[0]
