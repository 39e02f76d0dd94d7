"""Training examples for the tiny vision-language model: one row per clip, with its questions and its caption.

The prompts are those of the local runner. All texts of a clip share its frames and do not attend to each other: a row
holds the clip and then every text, each at the position directly behind the clip.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...data import load_dataset
from ...data.sample.render import frames
from ...data.sample.texts import caption, questions
from ...data.sample.world import FPS, NUM_FRAMES, practice_scenes
from ...inference.frames import SampledFrames, get_frame_sampling, read_frames
from ...inference.items import ClipQueries, Query
from ...inference.vlm.inputs import InputPreparer

FRAMES, PICK, PROMPTS = 4, "uniform", "plain"
_IGNORED = -100


@dataclass(frozen=True)
class Clip:
    """The frames of a clip, the queries about it, and the correct answers."""

    work: ClipQueries
    answers: tuple[str, ...]
    frames: SampledFrames


def sample_clips(split: str) -> list[Clip]:
    """Return the captioned clips of a split of the sample (scheme ``official``)."""
    queries: dict[str, list[tuple[Query, str]]] = {}
    videos: dict[str, Any] = {}
    for config, answer in (("vqa", "answer"), ("caption", "caption")):
        rows: Any = load_dataset(config, source="sample", scheme="official", split=split)  # type: ignore[arg-type]
        for row in rows:
            name = row["video_id"]
            videos[name] = row["video"]
            query = Query(row.get("question_id", name), row.get("question"))
            queries.setdefault(name, []).append((query, row[answer]))
    return [
        Clip(
            ClipQueries(videos[name], name, tuple(query for query, _ in found)),
            tuple(answer for _, answer in found),
            sampled,
        )
        for name, found in queries.items()
        for sampled in [read_frames(videos[name], FRAMES, PICK)]
    ]


def practice_clips(count: int) -> Iterator[Clip]:
    """Draw scenes that are in no split of the sample, without writing files."""
    numbers = get_frame_sampling(PICK)(NUM_FRAMES, FRAMES).tolist()
    for scene in practice_scenes(count):
        pictures = np.stack(list(frames(scene, 144, numbers)))
        about = {
            "fps": float(FPS),
            "total_num_frames": NUM_FRAMES,
            "duration": NUM_FRAMES / FPS,
            "frames_indices": numbers,
        }
        pairs = questions(scene)
        queries = [Query(f"{scene.video_id}_q{place}", pair["Q"]) for place, pair in enumerate(pairs)]
        work = ClipQueries(None, scene.video_id, (*queries, Query(scene.video_id)))
        yield Clip(work, (*(pair["A"] for pair in pairs), caption(scene)), SampledFrames(pictures, about))


def lesson(clip: Clip, model: Any, preparer: InputPreparer) -> dict[str, torch.Tensor]:
    """Return a clip as one row of tokens. ``text`` is the number of the text of each token, or 0 for the clip."""
    tokenizer = preparer.processor.tokenizer
    (item,) = preparer.prepare(clip.work, clip.frames)
    first = torch.tensor([item.input_ids[0]])
    marks = torch.tensor([item.token_field("mm_token_type_ids", first.shape[1])])
    grid = {name: item.visual[name] for name in ("video_grid_thw", "second_per_grid_ts")}
    places = model.model.get_rope_index(first, mm_token_type_ids=marks, **grid)[0][:, 0]
    head = item.input_ids[0].index(model.config.vision_end_token_id) + 1
    ids, text, labels, weights = [first[0, :head]], [torch.zeros(head)], [torch.full((head,), _IGNORED)], [0.0] * head
    positions = [places[:, :head]]
    for number, (prompt, answer) in enumerate(zip(item.input_ids, clip.answers, strict=True), start=1):
        target = tokenizer(answer, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
        question = prompt[head:]
        length = len(question) + len(target)
        ids.append(torch.tensor(question + target))
        text.append(torch.full((length,), float(number)))
        labels.append(torch.tensor([_IGNORED] * len(question) + target))
        weights += [len(target) ** -0.5] * length  # a long caption counts more than an answer, but less than its length
        positions.append(places[:, head, None] + torch.arange(length))
    return {
        "ids": torch.cat(ids),
        "text": torch.cat(text),
        "labels": torch.cat(labels),
        "weights": torch.tensor(weights),
        "positions": torch.cat(positions, dim=1),
        "pixels": item.visual["pixel_values_videos"],
        "grid": item.visual["video_grid_thw"],
    }


def loss_of(model: Any, lessons: Sequence[Mapping[str, torch.Tensor]]) -> torch.Tensor:
    """Return the weighted mean loss of the answers of some clips."""
    longest = max(len(one["ids"]) for one in lessons)

    def rows(name: str, padding: float) -> torch.Tensor:
        return torch.stack(
            [torch.nn.functional.pad(one[name], (0, longest - one[name].shape[-1]), value=padding) for one in lessons]
        )

    ids, text, labels, weights = rows("ids", 0), rows("text", -1), rows("labels", _IGNORED), rows("weights", 0)
    visible = (text[:, :, None] == text[:, None, :]) | (text[:, None, :] == 0)
    visible &= torch.ones(longest, longest, dtype=torch.bool).tril()
    mask = torch.zeros(visible.shape).masked_fill(~visible, torch.finfo(torch.float32).min)[:, None]
    seen = model.model.get_video_features(
        torch.cat([one["pixels"] for one in lessons]), torch.cat([one["grid"] for one in lessons])
    ).pooler_output
    words = model.get_input_embeddings()(ids)
    places = (ids == model.config.video_token_id)[..., None].expand_as(words)
    hidden = model.model.language_model(
        inputs_embeds=words.masked_scatter(places, torch.cat(list(seen))),
        attention_mask=mask,
        position_ids=rows("positions", 0).transpose(0, 1),
        use_cache=False,
    ).last_hidden_state[:, :-1]
    is_target = labels[:, 1:] != _IGNORED
    loss = torch.nn.functional.cross_entropy(
        model.lm_head(hidden[is_target]), labels[:, 1:][is_target], reduction="none"
    )
    return (loss * weights[:, 1:][is_target]).sum() / weights[:, 1:][is_target].sum()
