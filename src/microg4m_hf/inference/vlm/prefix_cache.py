"""Answer all questions about a clip from one key-value cache of their common prefix.

The prefix holds the system prompt and all visual tokens, so only the questions are left to compute. This does not work
for every model family: some keep state outside the cache or compute positions in their own way. The first clip of a run
is therefore computed with and without the cache, and the cache is used only if the logits agree.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import Any

from ...runtime import is_out_of_memory
from .generate import Generation, Generator, Row, collate_prompts, collate_visuals, move_to_model
from .inputs import ClipInputs, common_prefix_length

_CHECKED_STEPS = 3


def generate_from_prefix(generator: Generator, items: Sequence[ClipInputs], rows: int) -> list[list[Generation]]:
    """Generate all answers about clips with equal shapes, at most ``rows`` in one batch."""
    questions = max(len(item.queries) for item in items)
    length = _prefix_length(items)
    cache = _encode_prefix(generator.model, items, length)
    step = max(1, rows // len(items))
    answers: list[list[Generation]] = [[] for _ in items]
    for start in range(0, questions, step):
        numbers = range(start, min(questions, start + step))
        # A clip with fewer questions than others of the batch repeats its last one.
        batch = [(item, min(number, len(item.queries) - 1)) for item in items for number in numbers]
        branch = cache if numbers.stop == questions else copy.deepcopy(cache)
        name = items[0].queries[batch[0][1]].id
        generations = generator.generate(name=name, **_continuation_inputs(generator.model, batch, branch, length))
        for place, texts in enumerate(answers):
            texts += generations[place * len(numbers) : (place + 1) * len(numbers)]
    return [texts[: len(item.queries)] for texts, item in zip(answers, items, strict=True)]


def find_mismatch(generator: Generator, item: ClipInputs) -> str | None:
    """Return why this model cannot answer from a prefix cache, or None if its logits are the same with and without."""
    import torch

    tolerance = 0.01 if generator.model.dtype == torch.float32 else 0.35
    pair = [(item, 0), (item, len(item.queries) - 1)]
    try:
        length = _prefix_length([item])
        cache = _encode_prefix(generator.model, [item], length)
        cached = generator.logits(**_continuation_inputs(generator.model, pair, cache, length), steps=_CHECKED_STEPS)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    for row, one in enumerate(pair):
        plain = generator.logits(**plain_inputs(generator.model, [one]), steps=_CHECKED_STEPS)[0]
        for step in range(min(len(plain), cached.shape[1])):
            deviation = float((plain[step] - cached[row, step]).abs().max() / plain[step].std().clamp_min(1e-6))
            if not deviation <= tolerance:
                return f"its scores differ from plain generation by {deviation:.2g} standard deviations"
            if int(plain[step].argmax()) != int(cached[row, step].argmax()):
                break  # a near-tie: from here on the two answers continue different texts
    return None


def plain_inputs(model: Any, rows: Sequence[Row]) -> dict[str, Any]:
    """Return the arguments of :meth:`Generator.generate` without a prefix cache."""
    return {"inputs": move_to_model({**collate_prompts(rows), **collate_visuals([item for item, _ in rows])}, model)}


def _prefix_length(items: Sequence[ClipInputs]) -> int:
    return min(common_prefix_length(item.input_ids) for item in items)


def _encode_prefix(model: Any, items: Sequence[ClipInputs], length: int) -> Any:
    """Return the cache of the first ``length`` tokens of every clip."""
    import torch

    text = {"input_ids": torch.tensor([item.input_ids[0][:length] for item in items])}
    text["attention_mask"] = torch.ones_like(text["input_ids"])
    text |= {name: torch.tensor([item.token_field(name, length) for item in items]) for name in items[0].token_fields}
    inputs = {**text, **collate_visuals(items)}
    positions = _clip_positions(model, [(item, 0) for item in items], text)
    if positions is not None:
        inputs["position_ids"] = positions
    with torch.inference_mode():
        return model(**move_to_model(inputs, model), use_cache=True, logits_to_keep=1).past_key_values


def _continuation_inputs(model: Any, rows: Sequence[Row], cache: Any, length: int) -> dict[str, Any]:
    """Return the arguments to generate from a cache that holds the prefix of each clip once."""
    text = collate_prompts(rows, pad_after=length)
    cache.batch_repeat_interleave(len(rows) // len({id(item) for item, _ in rows}))
    inputs = {"input_ids": text["input_ids"], "attention_mask": text["attention_mask"]}
    positions = _clip_positions(model, rows, text)
    if positions is not None:
        import torch

        # The model stores the position offset of the last clip it saw. Explicit positions do not depend on that.
        text_positions = (text["attention_mask"].cumsum(-1) - 1).clamp_min(0)
        inputs["position_ids"] = torch.cat([text_positions[None], positions])
    return {"inputs": move_to_model(inputs, model), _cache_argument(): cache}


def _cache_argument() -> str:
    """Return the name under which ``generate`` takes a cache; transformers 5.24 deprecated the former one."""
    import transformers

    version = tuple(int(part) for part in transformers.__version__.split(".")[:2])
    return "cache" if version >= (5, 24) else "past_key_values"


def _clip_positions(model: Any, rows: Sequence[Row], text: dict[str, Any]) -> Any:
    """Return positions in time, height and width for models that use them, or None."""
    import torch

    get_rope_index = getattr(model.base_model, "get_rope_index", None)
    if get_rope_index is None:
        return None
    accepted = inspect.signature(get_rope_index).parameters
    visual = {
        name: torch.cat([item.visual[name] for item, _ in rows]) for name in rows[0][0].visual if name in accepted
    }
    return get_rope_index(**{name: value for name, value in text.items() if name in accepted}, **visual)[0]
