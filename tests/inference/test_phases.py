"""The time of a run by phase: read, prepared, encoded, prefilled, decoded; with a clock that only the model moves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from microg4m_hf.inference.items import ClipQueries, TextSettings
from microg4m_hf.inference.vlm import local, phases
from microg4m_hf.inference.vlm.loading import Placement

Tiny = Callable[[str], Path]


class Clock:
    """Time stands still except where a test moves it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        for module in (local, phases):
            monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: self.now))

    def move(self, seconds: Callable[[dict[str, Any]], float]) -> Callable[..., None]:
        def hook(module: Any, args: Any, kwargs: dict[str, Any], output: Any) -> None:
            self.now += seconds(kwargs)

        return hook


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("family", "shared"), [("qwen2_5_vl", True), ("smolvlm", False)])
def test_the_seconds_of_the_model_are_split_exactly(
    tiny: Tiny, questions: list[ClipQueries], monkeypatch: pytest.MonkeyPatch, family: str, shared: bool
) -> None:
    settings = TextSettings("vqa", model=str(tiny(family)), frames=2, max_new_tokens=3)
    placement = Placement(device="cpu", batch_size=12, shared_prefix=shared)
    cache: dict[str, Any] = {}
    runner = local.local_runner(settings, placement, cache)
    clock, calls = Clock(monkeypatch), {"encoding": 0, "prefill": 0, "decoding": 0}
    model = cache["model"]
    (encoder,) = phases.find_encoders(model)

    def count(kind: str, seconds: float) -> float:
        calls[kind] += 1
        return seconds

    def language(kwargs: dict[str, Any]) -> float:
        states = kwargs["inputs_embeds"] if kwargs.get("input_ids") is None else kwargs["input_ids"]
        return count("prefill", 3.0) if states.shape[1] > 1 else count("decoding", 1.0)

    encoder.register_forward_hook(clock.move(lambda _: count("encoding", 5.0)), with_kwargs=True)
    model.get_decoder().register_forward_hook(clock.move(language), with_kwargs=True)
    hooks = len(model._forward_hooks), len(encoder._forward_hooks)
    runner.shares_prefix = shared  # the check of the prefix cache is no part of the time of the answers
    records = [record for _, record in runner(questions[:2])]
    sums = {name: round(sum(one["phases"][name] for one in records), 3) for name in phases.PHASES}
    assert calls["encoding"] and calls["prefill"] and calls["decoding"]
    assert sums["encoding"] == pytest.approx(5 * calls["encoding"], abs=1e-3)
    assert sums["prefill"] == pytest.approx(3 * calls["prefill"], abs=1e-3)
    assert sums["decoding"] == pytest.approx(calls["decoding"], abs=1e-3)
    assert sums["encoding"] + sums["prefill"] + sums["decoding"] == pytest.approx(
        sum(one["seconds"] for one in records), abs=1e-3
    )
    assert sums["reading"] > 0 and sums["preparing"] > 0 and sums["waiting"] == 0  # threads have the real clock
    assert (len(model._forward_hooks), len(encoder._forward_hooks)) == hooks
