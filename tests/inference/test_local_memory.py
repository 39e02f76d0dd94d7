"""Out-of-memory errors from an allocation that no machine can serve."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from microg4m_hf.errors import ModelError
from microg4m_hf.inference.items import ClipQueries, TextSettings
from microg4m_hf.inference.vlm.loading import Placement
from microg4m_hf.inference.vlm.local import LocalRunner, local_runner

Tiny = Callable[[str], Path]


def limit_rows(runner: LocalRunner, rows: int) -> list[int]:
    """Allocate 4 PiB in every forward pass with more than ``rows`` rows. Returns the list of row counts."""
    seen: list[int] = []

    def allocate(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        seen.append(len(inputs[0]))
        if len(inputs[0]) > rows:
            torch.empty(1 << 52, dtype=torch.uint8)

    runner.generator.model.get_input_embeddings().register_forward_pre_hook(allocate)
    return seen


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "plain"])
def test_the_batch_size_is_halved_and_no_answer_is_lost(tiny: Tiny, questions: list[ClipQueries], shared: bool) -> None:
    settings = TextSettings("vqa", str(tiny("llava")), frames=2, max_new_tokens=6, dtype="float32")
    whole = {query.id: record["text"] for query, record in local_runner(settings)(questions)}
    runner = local_runner(settings, Placement(batch_size=12, shared_prefix=shared))
    seen = limit_rows(runner, rows=2)
    with pytest.warns(UserWarning, match="out of memory with batch size 12; continuing with batch size 6"):
        answers = {query.id: record["text"] for query, record in runner(questions)}
    assert answers == whole
    assert runner.halver.size <= 2
    assert {12, 6, 3} <= set(seen)
    assert seen.count(12) == 1  # the smaller size is kept


def test_an_item_that_never_fits_is_recorded_as_failed(tiny: Tiny, questions: list[ClipQueries]) -> None:
    settings = TextSettings("caption", str(tiny("llava")), frames=2, max_new_tokens=6, dtype="float32")
    clips = [ClipQueries(clip.video, clip.video_id, clip.queries[:1]) for clip in questions]
    runner = local_runner(settings, Placement(batch_size=1))
    records = runner(clips)
    assert next(records)[1]["status"] == "ok"
    limit_rows(runner, rows=0)
    rest = [record for _, record in records]
    assert [record["kind"] for record in rest] == ["memory"] * 3
    assert "--device-map" in rest[0]["why"]


def test_a_model_that_never_fits_ends_the_run_early(tiny: Tiny, questions: list[ClipQueries]) -> None:
    settings = TextSettings("vqa", str(tiny("llava")), frames=2, max_new_tokens=6, dtype="float32")
    runner = local_runner(settings, Placement(batch_size=4))
    limit_rows(runner, rows=0)
    passed_on = []
    with pytest.raises(ModelError, match=r"failed on each of the first 3 items \(out of memory"):
        for query, _ in runner(questions):
            passed_on.append(query)
    assert passed_on == []  # so that the same command asks them again
