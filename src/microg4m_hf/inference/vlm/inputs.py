"""Prepare the inputs of a model for clips in threads: the pixels once per clip, and the token ids of every query."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...errors import ClipError, MicroG4MError, ModelError
from ..frames import SampledFrames, prefetch, read_frames
from ..items import ClipQueries, PromptSet, Query, TextSettings

# Options of image processors that cut an image into tiles. The frames of a clip stay whole.
_TILING_OPTIONS = ("crop_to_patches", "do_image_splitting")


class PromptBuilder:
    """Build the chat messages and the prompts of queries for one processor.

    Args:
        processor: The processor of the model. It needs a chat template.
        prompts: The prompt set.
        as_images: Pass frames as images even if the processor takes video.

    Raises:
        ModelError: The processor has no chat template.
    """

    def __init__(self, processor: Any, prompts: PromptSet, *, as_images: bool) -> None:
        self.processor, self.prompts = processor, prompts
        self.as_images = as_images or getattr(processor, "video_processor", None) is None
        self.options: dict[str, Any] = {}
        if self.as_images:
            image_processor = getattr(processor, "image_processor", None)
            self.options = {name: False for name in _TILING_OPTIONS if getattr(image_processor, name, None)}
        self._has_system_turn = bool(prompts.system) and self._keeps_system_turn()
        self._special_tokens = _special_tokens(processor)
        self.prompt(Query("any"), 1)  # fail early if there is no chat template

    def special_token_in(self, query: Query) -> str | None:
        """Return a token of the model that a question contains as text: it would end the turn, or stand for a clip."""
        return next((token for token in self._special_tokens if token in (query.question or "")), None)

    def messages(self, query: Query, visual_parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the conversation. ``visual_parts`` stand for the clip."""
        text, system = self.prompts.user_text(query), self.prompts.system
        turns = []
        if system and self._has_system_turn:
            turns.append({"role": "system", "content": [{"type": "text", "text": system}]})
        elif system:
            text = f"{system}\n{text}"
        turns.append({"role": "user", "content": [*visual_parts, {"type": "text", "text": text}]})
        return turns

    def prompt(self, query: Query, n_frames: int) -> str:
        """Return the prompt as text, with the placeholders of the processor for the clip."""
        parts = [{"type": "image"}] * n_frames if self.as_images else [{"type": "video"}]
        return self._render(self.messages(query, parts))

    def _render(self, messages: list[dict[str, Any]]) -> str:
        try:
            text = self.processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        except ValueError as error:
            if "chat template" not in str(error).replace("_", " "):
                raise
            raise ModelError(
                f"the processor of this model has no chat template, so there is no way to prompt it ({error}); "
                "use a chat checkpoint (its name ends in -Instruct, -chat or -hf)"
            ) from error
        return text if isinstance(text, str) else text[0]

    def _keeps_system_turn(self) -> bool:
        """Whether the template renders a system turn. Some drop or reject it; its text then goes to the user turn."""
        from jinja2 import TemplateError

        turns = [("system", str(self.prompts.system)), ("user", "?")]
        messages = [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in turns]
        try:
            return str(self.prompts.system) in self._render(messages)
        except (TemplateError, TypeError):
            return False


def _special_tokens(processor: Any) -> list[str]:
    """Return the special tokens of a processor, but for those that could be words or punctuation."""
    tokenizer = getattr(processor, "tokenizer", processor)
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    found = {*tokenizer.all_special_tokens, *(str(token) for token in added if token.special)}
    found |= {getattr(processor, f"{kind}_token", None) for kind in ("image", "video")} - {None}
    return sorted(token for token in map(str, found) if len(token) > 2 and not token.isalnum())


@dataclass
class ClipInputs:
    """The inputs for a clip, or for one query about it if the processor cannot share its pixels between queries."""

    clip: ClipQueries
    queries: tuple[Query, ...]
    input_ids: list[list[int]]  # one prompt per query
    visual: dict[str, Any]  # pixels, grids, sizes: the same for every query
    # Other per-token inputs, such as token_type_ids: the values of the common prefix, and the value behind it.
    token_fields: dict[str, tuple[list[int], int]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)  # how long reading and preparing took, per query

    @property
    def shape(self) -> tuple[Any, ...]:
        """The shapes of the visual inputs. Clips with equal shapes can share a batch."""
        return tuple((name, tuple(value.shape), value.dtype) for name, value in sorted(self.visual.items()))

    def token_field(self, name: str, length: int) -> list[int]:
        """Return a per-token input for a prompt of ``length`` tokens."""
        prefix, rest = self.token_fields[name]
        return (prefix + [rest] * (length - len(prefix)))[:length]


class InputPreparer:
    """Call the processor. Not thread-safe, because tokenizers change their own settings during a call."""

    def __init__(self, prompt_builder: PromptBuilder) -> None:
        self.prompt_builder, self.processor = prompt_builder, prompt_builder.processor
        self.not_shared_because = ""  # why queries cannot share the pixels of their clip
        self._is_checked = False

    def prepare(self, clip: ClipQueries, frames: SampledFrames) -> list[ClipInputs]:
        """Return one item for the clip, or one per query if queries cannot share its pixels."""
        if not self.not_shared_because:
            item = self._prepare_shared(clip, frames)
            if item is not None:
                return [item]
        return [self._prepare_one(clip, query, *self._process(query, frames)) for query in clip.queries]

    def _prepare_one(self, clip: ClipQueries, query: Query, ids: list[int], visual: Any, fields: Any) -> ClipInputs:
        return ClipInputs(clip, (query,), [ids], visual, {name: (values, 0) for name, values in fields.items()})

    def _prepare_shared(self, clip: ClipQueries, frames: SampledFrames) -> ClipInputs | None:
        """Process the first prompt, and tokenize only the different ends of the others.

        The processor expands the placeholder of the clip to many tokens and leaves the rest. The plain and the full ids
        of a prompt therefore have a common suffix, and every other prompt has the same full prefix.
        """
        first = clip.queries[0]
        full, visual, fields = self._process(first, frames)
        if len(clip.queries) == 1:
            return self._prepare_one(clip, first, full, visual, fields)
        plain = [self._tokenize(query, len(frames.frames)) for query in clip.queries]
        suffix = common_suffix_length(plain[0], full)
        start = len(plain[0]) - suffix
        if any(len(ids) <= start or ids[:start] != plain[0][:start] for ids in plain):
            self.not_shared_because = "the prompts of two questions differ before the clip"
            return None
        prefix = full[: len(full) - suffix]
        input_ids = [prefix + ids[start:] for ids in plain]
        # The value at the tokens of one question, which is usually 0, is also used for the other questions.
        shared = common_prefix_length(input_ids)
        if any(len(set(values[shared:])) > 1 for values in fields.values()):
            self.not_shared_because = "the processor marks the tokens of a question in different ways"
            return None
        token_fields = {name: (values[:shared], values[-1]) for name, values in fields.items()}
        item = ClipInputs(clip, clip.queries, input_ids, visual, token_fields)
        if not self._is_checked:
            self._is_checked = True
            ids, _, fields = self._process(clip.queries[-1], frames)
            if ids != input_ids[-1] or any(item.token_field(name, len(ids)) != fields[name] for name in fields):
                self.not_shared_because = "the tokens before a question depend on the question"
                return None
        return item

    def _process(self, query: Query, frames: SampledFrames) -> tuple[list[int], dict[str, Any], dict[str, list[int]]]:
        """Return the token ids, the visual inputs, and the other per-token inputs of one prompt."""
        import torch

        options = dict(self.prompt_builder.options)
        if self.prompt_builder.as_images:
            from PIL import Image

            parts = [{"type": "image", "image": Image.fromarray(frame)} for frame in frames.frames]
        else:
            parts = [{"type": "video", "video": frames.frames}]
            options |= {"do_sample_frames": False, "video_metadata": [dict(frames.metadata)]}
        features = self.processor.apply_chat_template(
            self.prompt_builder.messages(query, parts),
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs=options,
        )
        ids = features["input_ids"]
        fields, visual = {}, {}
        for name, value in features.items():
            if not isinstance(value, torch.Tensor):
                if not isinstance(value, (list, tuple, np.ndarray)) or name == "video_metadata":
                    continue
                value = torch.as_tensor(np.asarray(value))
            if name in ("input_ids", "attention_mask"):
                continue
            if value.shape == ids.shape and not value.is_floating_point():
                fields[name] = value[0].tolist()
            else:
                visual[name] = value
        return ids[0].tolist(), visual, fields

    def _tokenize(self, query: Query, n_frames: int) -> list[int]:
        """Return the ids of the prompt with its placeholder, as it is in the template."""
        text = self.prompt_builder.prompt(query, n_frames)
        tokenizer = self.processor.tokenizer
        has_bos = bool(tokenizer.bos_token) and text.startswith(tokenizer.bos_token)
        return tokenizer(text, **({"add_special_tokens": False} if has_bos else {}))["input_ids"]


@dataclass(frozen=True)
class PrepareFailure:
    """Why the inputs of a clip could not be prepared."""

    why: str
    is_decode_error: bool


class Prefetcher:
    """Yield clips with their inputs, or with the reason why there are none."""

    def __init__(self, prompt_builder: PromptBuilder, settings: TextSettings) -> None:
        self._prompt_builder, self._settings = prompt_builder, settings
        self._thread = threading.local()
        self._copy_lock = threading.Lock()
        self.not_shared_because = ""

    def __call__(
        self, clips: Sequence[ClipQueries], *, workers: int, depth: int
    ) -> Iterator[tuple[ClipQueries, list[ClipInputs] | PrepareFailure]]:
        return prefetch(self._prepare, clips, workers=workers, depth=depth)

    def _prepare(self, clip: ClipQueries) -> list[ClipInputs] | PrepareFailure:
        start = time.perf_counter()
        try:
            frames = read_frames(clip.video, self._settings.frames, self._settings.frame_sampling, clip.turn)
        except (ClipError, OSError) as error:
            message = f"the clip cannot be read: {' '.join(str(error).split())}"
            return PrepareFailure(message, is_decode_error=True)
        preparer, read = self._preparer_of_thread(), time.perf_counter()
        try:
            items = preparer.prepare(clip, frames)
        except MicroG4MError:
            raise
        except Exception as error:  # processors raise all kinds of errors; only this clip fails
            return PrepareFailure(format_error(error), is_decode_error=False)
        if preparer.not_shared_because:
            self.not_shared_because = preparer.not_shared_because
        end, count = time.perf_counter(), len(clip.queries)
        for item in items:
            item.seconds = {"reading": (read - start) / count, "preparing": (end - read) / count}
        return items

    def _preparer_of_thread(self) -> InputPreparer:
        if not hasattr(self._thread, "preparer"):
            with self._copy_lock:
                prompt_builder = copy.copy(self._prompt_builder)
                prompt_builder.processor = copy.deepcopy(self._prompt_builder.processor)
            self._thread.preparer = InputPreparer(prompt_builder)
        return self._thread.preparer


def format_error(error: BaseException) -> str:
    """Return an exception as one line.

    >>> format_error(ValueError("too  long"))
    'ValueError: too long'
    """
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]


def common_suffix_length(one: Sequence[int], other: Sequence[int]) -> int:
    """Return the number of equal ids, counted from the end.

    >>> common_suffix_length([1, 2, 3], [9, 9, 2, 3])
    2
    """
    count = 0
    while count < min(len(one), len(other)) and one[-1 - count] == other[-1 - count]:
        count += 1
    return count


def common_prefix_length(rows: Sequence[Sequence[int]]) -> int:
    """Return the number of ids that all rows start with, leaving at least one id in each row to continue from.

    >>> common_prefix_length([[1, 2, 3, 4], [1, 2, 5]])
    2
    >>> common_prefix_length([[1, 2], [1, 2]])
    1
    """
    limit = min(map(len, rows)) - 1
    return next((place for place in range(limit) if len({row[place] for row in rows}) > 1), limit)
