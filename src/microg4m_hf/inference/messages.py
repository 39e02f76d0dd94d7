"""What a model is told about a clip, in the form that chat templates take."""

from __future__ import annotations

from typing import Any

from ..errors import ModelError
from .items import Ask
from .prompts import PromptSet

# Image processors cut one picture into many tiles unless told otherwise; the frames of a clip stay whole.
_TILING = ("crop_to_patches", "do_image_splitting")


class Messenger:
    """Turns what is asked about a clip into messages and prompts for one processor."""

    def __init__(self, processor: Any, prompts: PromptSet, *, as_images: bool) -> None:
        self.processor, self.prompts = processor, prompts
        self.as_images = as_images or getattr(processor, "video_processor", None) is None
        self.options: dict[str, Any] = {}
        if self.as_images:
            pictures = getattr(processor, "image_processor", None)
            self.options = {name: False for name in _TILING if getattr(pictures, name, None)}
        self._system_turn = bool(prompts.system) and self._keeps_system_turn()
        self.prompt(Ask("any"), 1)  # a processor that cannot be asked is better known before the work begins

    def text_of(self, ask: Ask) -> str:
        """The words of the user's turn."""
        if ask.question is None:
            return self.prompts.caption
        return self.prompts.question.format(question=ask.question)

    def messages(self, ask: Ask, pictures: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The conversation; ``pictures`` are the parts that stand for the clip."""
        words, system = self.text_of(ask), self.prompts.system
        turns = []
        if system and self._system_turn:
            turns.append({"role": "system", "content": [{"type": "text", "text": system}]})
        elif system:
            words = f"{system}\n{words}"
        turns.append({"role": "user", "content": [*pictures, {"type": "text", "text": words}]})
        return turns

    def prompt(self, ask: Ask, n_frames: int) -> str:
        """The prompt as text, with the processor's own place-holders."""
        kind = [{"type": "image"}] * n_frames if self.as_images else [{"type": "video"}]
        return self._render(self.messages(ask, kind))

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
