"""A clip made ready for a model: pixels once, token ids for everything asked about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...errors import ModelError
from ..frames import SampledFrames
from ..items import ClipQueries, PromptSet, Query

# What a model is told about a clip, in the form that chat templates take.

# Image processors cut one picture into many tiles unless told otherwise; the frames of a clip stay whole.
_TILING = ("crop_to_patches", "do_image_splitting")


class PromptBuilder:
    """Turns what is asked about a clip into messages and prompts for one processor."""

    def __init__(self, processor: Any, prompts: PromptSet, *, as_images: bool) -> None:
        self.processor, self.prompts = processor, prompts
        self.as_images = as_images or getattr(processor, "video_processor", None) is None
        self.options: dict[str, Any] = {}
        if self.as_images:
            pictures = getattr(processor, "image_processor", None)
            self.options = {name: False for name in _TILING if getattr(pictures, name, None)}
        self._system_turn = bool(prompts.system) and self._keeps_system_turn()
        self.prompt(Query("any"), 1)  # a processor that cannot be asked is better known before the work begins

    def text_of(self, query: Query) -> str:
        """The words of the user's turn."""
        if query.question is None:
            return self.prompts.caption
        return self.prompts.question.format(question=query.question)

    def messages(self, query: Query, pictures: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The conversation; ``pictures`` are the parts that stand for the clip."""
        words, system = self.text_of(query), self.prompts.system
        turns = []
        if system and self._system_turn:
            turns.append({"role": "system", "content": [{"type": "text", "text": system}]})
        elif system:
            words = f"{system}\n{words}"
        turns.append({"role": "user", "content": [*pictures, {"type": "text", "text": words}]})
        return turns

    def prompt(self, query: Query, n_frames: int) -> str:
        """The prompt as text, with the processor's own place-holders."""
        kind = [{"type": "image"}] * n_frames if self.as_images else [{"type": "video"}]
        return self._render(self.messages(query, kind))

    def _render(self, messages: list[dict[str, Any]]) -> str:
        try:
            text = self.processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        except ValueError as error:
            if "chat template" not in str(error).replace("_", " "):
                raise
            raise ModelError(
                f"the processor of this model has no chat template, so it is unknown how to ask it ({error}); "
                "use a chat checkpoint (those that end in -Instruct, -chat or -hf)"
            ) from error
        return text if isinstance(text, str) else text[0]

    def _keeps_system_turn(self) -> bool:
        """Some templates drop a system turn without a word, or refuse it: then its text goes into the user's turn."""
        from jinja2 import TemplateError

        system = str(self.prompts.system)
        try:
            return system in self._render(
                [
                    {"role": "system", "content": [{"type": "text", "text": system}]},
                    {"role": "user", "content": [{"type": "text", "text": "?"}]},
                ]
            )
        except (TemplateError, TypeError):
            return False


@dataclass
class ClipInputs:
    """One clip, or one question of it where a processor does not let questions share their pixels."""

    clip: ClipQueries
    queries: tuple[Query, ...]
    input_ids: list[list[int]]  # one prompt for each query
    visual: dict[str, Any]  # pixels, grids, sizes: the same for every query
    token_fields: dict[str, tuple[list[int], int]] = field(
        default_factory=dict
    )  # per token: the head, and what follows it

    @property
    def shape(self) -> tuple[Any, ...]:
        """Clips of equal shape go into one batch."""
        return tuple((name, tuple(value.shape), value.dtype) for name, value in sorted(self.visual.items()))

    def token_field(self, name: str, length: int) -> list[int]:
        """The values of ``token_type_ids`` and the like for a prompt of ``length`` tokens."""
        head, rest = self.token_fields[name]
        return (head + [rest] * (length - len(head)))[:length]


class InputPreparer:
    """Calls the processor. Not for several threads at once: tokenizers change their own settings on the way."""

    def __init__(self, prompt_builder: PromptBuilder) -> None:
        self.prompt_builder, self.processor = prompt_builder, prompt_builder.processor
        self.shares = True  # questions share the pixels of their clip
        self.why_not = ""
        self._checked = False

    def prepare(self, work: ClipQueries, shown: SampledFrames) -> list[ClipInputs]:
        """One item for the clip, or one for each query if the processor's prompts cannot be taken apart."""
        if self.shares:
            together = self._together(work, shown)
            if together is not None:
                return [together]
        return [self._alone(work, query, shown) for query in work.queries]

    def _together(self, work: ClipQueries, shown: SampledFrames) -> ClipInputs | None:
        """Only the first prompt goes through the processor; of the others only what differs is tokenised.

        The processor replaces the clip's place-holder by many tokens and leaves what follows as it is. So the ends
        of the plain and of the full ids of one prompt agree, and another prompt has the same full beginning.
        """
        first = work.queries[0]
        full, visual, along = self._features(first, shown)
        if len(work.queries) == 1:
            return ClipInputs(work, work.queries, [full], visual, {name: (row, 0) for name, row in along.items()})
        plain = [self._plain_ids(query, len(shown.frames)) for query in work.queries]
        end = common_end(plain[0], full)
        start = len(plain[0]) - end
        if any(len(other) <= start or other[:start] != plain[0][:start] for other in plain):
            return self._not_shared("the prompts of two questions differ before the clip")
        head = len(full) - end
        ids = [full[:head] + other[start:] for other in plain]
        # What stands at the question's tokens (0, mostly) also stands at those of the other questions.
        shared = common_start(ids)
        if any(len(set(row[shared:])) > 1 for row in along.values()):
            return self._not_shared("the processor marks the tokens of a question in different ways")
        marks = {name: (row[:shared], row[-1]) for name, row in along.items()}
        item = ClipInputs(work, work.queries, ids, visual, marks)
        if not self._checked:
            self._checked = True
            last, _, rows = self._features(work.queries[-1], shown)
            if last != ids[-1] or any(item.token_field(name, len(last)) != row for name, row in rows.items()):
                return self._not_shared("what stands before a question depends on the question")
        return item

    def _not_shared(self, why: str) -> ClipInputs | None:
        self.shares, self.why_not = False, why
        return None

    def _alone(self, work: ClipQueries, query: Query, shown: SampledFrames) -> ClipInputs:
        full, visual, along = self._features(query, shown)
        return ClipInputs(work, (query,), [full], visual, {name: (row, 0) for name, row in along.items()})

    def _features(self, query: Query, shown: SampledFrames) -> tuple[list[int], dict[str, Any], dict[str, list[int]]]:
        """Token ids, what belongs to the clip, and what else has a value for each token."""
        import torch

        options = dict(self.prompt_builder.options)
        if self.prompt_builder.as_images:
            from PIL import Image

            parts = [{"type": "image", "image": Image.fromarray(frame)} for frame in shown.frames]
        else:
            parts = [{"type": "video", "video": shown.frames}]
            options |= {"do_sample_frames": False, "video_metadata": [dict(shown.metadata)]}
        features = self.processor.apply_chat_template(
            self.prompt_builder.messages(query, parts),
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs=options,
        )
        ids = features["input_ids"]
        along, visual = {}, {}
        for name, value in features.items():
            if not isinstance(value, torch.Tensor):
                if not isinstance(value, (list, tuple, np.ndarray)) or name == "video_metadata":
                    continue
                value = torch.as_tensor(np.asarray(value))
            if name in ("input_ids", "attention_mask"):
                continue
            if value.shape == ids.shape and not value.is_floating_point():
                along[name] = value[0].tolist()
            else:
                visual[name] = value
        return ids[0].tolist(), visual, along

    def _plain_ids(self, query: Query, n_frames: int) -> list[int]:
        """The prompt's ids with the place-holder as it stands in the template."""
        text = self.prompt_builder.prompt(query, n_frames)
        tokenizer = self.processor.tokenizer
        begun = bool(tokenizer.bos_token) and text.startswith(tokenizer.bos_token)
        return tokenizer(text, **({"add_special_tokens": False} if begun else {}))["input_ids"]


def common_end(one: Sequence[int], other: Sequence[int]) -> int:
    """How many ids agree, counted from the end.

    >>> common_end([1, 2, 3], [9, 9, 2, 3])
    2
    """
    count = 0
    while count < min(len(one), len(other)) and one[-1 - count] == other[-1 - count]:
        count += 1
    return count


def common_start(rows: Sequence[Sequence[int]]) -> int:
    """How many ids all rows begin with; at least one is left over in every row, for the model to go on from.

    >>> common_start([[1, 2, 3, 4], [1, 2, 5]])
    2
    >>> common_start([[1, 2], [1, 2]])
    1
    """
    limit = min(map(len, rows)) - 1
    for place in range(limit):
        if len({row[place] for row in rows}) > 1:
            return place
    return limit
