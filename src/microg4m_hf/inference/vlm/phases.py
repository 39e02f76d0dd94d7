"""Measure where the time of a run goes: reading and preparing clips, encoding them, prefill, and decoding.

Clips are read and prepared in threads beside the model, so these seconds overlap with the others; what they cost is the
time for which the model waits. The seconds of the model are wall time and add up: encoding is the vision encoder,
prefill every other computation on more than one token per row, decoding the rest, which includes choosing tokens.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

IN_THREADS = ("reading", "preparing")
OF_THE_MODEL = ("encoding", "prefill", "decoding")
PHASES = (*IN_THREADS, "waiting", *OF_THE_MODEL)


class PhaseClock:
    """Time the phases of a model through hooks: two for the network and two for each vision encoder.

    A GPU works behind the program, so the hooks wait for it. They do so a few times per batch, and never while tokens
    are decoded.

    Args:
        model: The model. Nothing is attached to it outside of :meth:`watch`.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._encoders = find_encoders(model)
        self._devices = {one.device for one in model.parameters() if one.device.type in ("cuda", "xpu", "mps")}
        self._seconds = {"encoding": 0.0, "prefill": 0.0}
        self._began: dict[str, float | None] = {}

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Attach the hooks for the duration of the context."""
        with ExitStack() as stack:
            for module, phase in ((self._model, "prefill"), *((one, "encoding") for one in self._encoders)):
                for handle in (
                    module.register_forward_pre_hook(self._begin(phase), with_kwargs=True),
                    module.register_forward_hook(self._end(phase), with_kwargs=True, always_call=True),
                ):
                    stack.callback(handle.remove)
            yield

    def split(self, seconds: float) -> dict[str, float]:
        """Return the seconds of each phase of the model since the last call, given how long it took in all."""
        phases = {**self._seconds, "decoding": max(0.0, seconds - sum(self._seconds.values()))}
        self._seconds = dict.fromkeys(self._seconds, 0.0)
        return phases

    def _begin(self, phase: str) -> Any:
        def hook(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
            is_step = phase == "prefill" and not _reads_prompt(args, kwargs)
            self._began[phase] = None if is_step else self._now()

        return hook

    def _end(self, phase: str) -> Any:
        def hook(module: Any, args: Any, kwargs: dict[str, Any], output: Any) -> None:
            began = self._began.pop(phase, None)
            if began is None:
                return
            passed = self._now() - began
            self._seconds[phase] += passed
            if phase == "encoding" and self._began.get("prefill") is not None:  # some models encode before it
                self._seconds["prefill"] -= passed

        return hook

    def _now(self) -> float:
        if self._devices:
            import torch

            for device in self._devices:
                getattr(torch, device.type).synchronize(*([device] if device.type != "mps" else []))
        return time.perf_counter()


def find_encoders(model: Any) -> list[Any]:
    """Return the vision encoders of a model; an empty list if transformers does not know where they are."""
    found = [model.get_encoder(modality=modality) for modality in ("image", "video")]
    found.append(getattr(model.base_model, "video_tower", None))  # beside the image tower of Video-LLaVA
    inner = set(model.base_model.modules()) - {model, model.base_model}
    return [one for one in dict.fromkeys(found) if one in inner]


def _reads_prompt(args: Any, kwargs: dict[str, Any]) -> bool:
    """Whether a call has more than one token per row; a decoding step has one."""
    ids = kwargs.get("input_ids", args[0] if args else None)
    tokens = ids if ids is not None else kwargs.get("inputs_embeds")
    return tokens is not None and tokens.shape[1] > 1


def describe_phases(phases: dict[str, float]) -> str:
    """Return one sentence about the phases of a run.

    >>> phases = {"reading": 2, "preparing": 1, "waiting": 0.5, "encoding": 1, "prefill": 2, "decoding": 7}
    >>> describe_phases(phases).partition(" for clips")[0]
    'the model took 10.0 s (10 % encoding, 20 % prefill, 70 % decoding) and waited 0.5 s'
    """
    seconds = sum(phases[name] for name in OF_THE_MODEL)
    shares = ", ".join(f"{phases[name] / seconds * 100:.0f} % {name}" for name in OF_THE_MODEL) if seconds else ""
    beside = sum(phases[name] for name in IN_THREADS)
    return (
        f"the model took {seconds:.1f} s ({shares}) and waited {phases['waiting']:.1f} s for clips, "
        f"whose reading and preparation took {beside:.1f} s beside it"
    )
