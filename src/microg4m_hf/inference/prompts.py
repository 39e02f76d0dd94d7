"""Named prompt sets: what the model is told, part of every run's settings and of its predictions' header."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import RecipeError


@dataclass(frozen=True)
class PromptSet:
    """System text, the instruction of a caption, and the frame around a question (``{question}``)."""

    system: str | None
    caption: str
    question: str


PROMPTS: dict[str, PromptSet] = {
    "default": PromptSet(
        system=None,
        caption="Describe in one or two sentences what the people in this video do, and where they are.",
        question="{question}\nAnswer in a few words. If the video does not show it, answer: Not mentioned.",
    ),
    "expert": PromptSet(
        system=(
            "You watch short clips of people in microgravity, from space missions and films. Nothing falls, and "
            "no direction is up. Say only what can be seen."
        ),
        caption="Describe in two or three sentences the people, what they wear, hold and do, and their surroundings.",
        question="{question}\nAnswer in a few words. If the video does not show it, answer: Not mentioned.",
    ),
    "plain": PromptSet(system=None, caption="Describe this video.", question="{question}"),
}

# Frames per clip in the published tables, by a part of the model's name.
PAPER_FRAMES = {
    "video-chatgpt": 3,
    "mplug-owl3": 3,
    "llava-next": 8,
    "video-llava": 8,
    "qwen2.5-vl": 9,
    "internvideo": 90,
    "gpt-4o": 6,
    "gemini-1.5": 16,
}


def prompt_set(name: str) -> PromptSet:
    """A prompt set by name.

    >>> prompt_set("plain").caption
    'Describe this video.'
    """
    if name not in PROMPTS:
        raise RecipeError(f"there is no prompt set {name!r}; there are {', '.join(PROMPTS)}")
    return PROMPTS[name]


def paper_frames(model: str) -> int | None:
    """How many frames the published row of a model used, or None for a model without one.

    >>> paper_frames("Qwen/Qwen2.5-VL-7B-Instruct")
    9
    """
    lowered = model.lower()
    return next((frames for part, frames in PAPER_FRAMES.items() if part in lowered), None)
