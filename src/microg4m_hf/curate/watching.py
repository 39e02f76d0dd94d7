"""Follow the people of one film and ask an action model about each of them: an annotated film, JSON and CSV."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.contact_sheet import TextCanvas, place_label, short_name
from ..errors import ClipError
from ..runtime import Progress
from ..scratch import scratch_file
from ..settings import Settings, setting
from ..storage import write_atomic
from .clips.films import check_film, hash_file, open_film, pictures
from .people.callables import Detections
from .people.detectors import load_detector
from .people.quarter_turns import detect_in_turns
from .people.tracker import track_people
from .people.tracks import Row, fill_gaps
from .protocols import CurateSettings, PeopleSettings

FPS = 30
_SEEN_HEIGHT = 480  # the detector and the model see the film at this height
_COLORS = ((96, 190, 255), (255, 196, 84), (255, 128, 170), (120, 220, 140), (200, 150, 255), (255, 150, 90))


@dataclass(frozen=True)
class WatchSettings(Settings, prefix="--"):
    """What `watch_film` does beside detecting and tracking."""

    model: str | None = None  # a run, a model folder, a Hub id or a name; None only follows people
    ask_every: float = setting(1.0, above=0)  # seconds between two questions about a person
    top_k: int = setting(3, at_least=1, at_most=50)
    threshold: float = setting(0.2, at_least=0, at_most=1)  # weaker actions are not drawn; the files have them
    batch_size: int = setting(8, at_least=1)
    accept_license: bool = False


Actions = dict[tuple[int, int], list[tuple[str, float]]]  # by frame (from 0) and person


def watch_film(
    film: str | os.PathLike[str],
    out: str | os.PathLike[str],
    settings: WatchSettings | None = None,
    curation: CurateSettings | None = None,
) -> dict[str, Any]:
    """Detect and track the people of a film, ask a model what each does, and write what was found.

    The folder gets ``watched.mp4`` with boxes, ids and actions; ``people.json`` with the boxes of every person in every
    frame, at 30 frames per second; ``actions.csv`` with the most likely actions of each person over time; and
    ``detections.jsonl``, from which a killed run goes on.

    Args:
        film: Any film.
        out: The folder to write to.
        settings: The model, and how often it is asked.
        curation: Detector, turns and tracker, in the sections ``people`` and ``tracks``. The tracker is the one of this
            package, and boxes are of every frame.

    Returns:
        The paths of the files, the number of frames and people, and the seconds of the film.

    Raises:
        ClipError: If the film cannot be read.
    """
    settings, curation = settings or WatchSettings(), curation or CurateSettings()
    path, folder = Path(film).expanduser(), Path(out).expanduser()
    check_film(path)
    model = _ActionModel(settings) if settings.model is not None else None
    folder.mkdir(parents=True, exist_ok=True)
    detections, size = _detect(path, folder / "detections.jsonl", curation.people, settings)
    step = curation.people.every
    looked_at = range(0, len(detections), step)
    ids = track_people([detections[frame] for frame in looked_at], curation.tracks)
    seen = [(frame, *detections[frame], ids[place]) for place, frame in enumerate(looked_at)]
    rows = fill_gaps(seen, curation.tracks, size[0] * size[1])
    by_frame: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        by_frame[row[0] - 1].append(row)
    actions: Actions = {}
    if model is not None:
        actions = _ask(path, model, by_frame, len(detections), size, settings)
    names = {name: str(folder / name) for name in ("watched.mp4", "people.json", "actions.csv")}
    _write_people(folder / "people.json", path, rows, actions, len(detections), size)
    _write_actions(folder / "actions.csv", by_frame, actions)
    _write_film(folder / "watched.mp4", path, by_frame, actions, len(detections), size, settings)
    people = len({row[1] for row in rows})
    return {**names, "frames": len(detections), "seconds": len(detections) / FPS, "people": people}


def _frames(path: Path, height: int | None) -> Iterator[Any]:
    with open_film(path) as film:
        for _, frame in pictures(film, path, FPS, height):
            yield frame


def _detect(
    path: Path, journal: Path, people: PeopleSettings, settings: WatchSettings
) -> tuple[list[Detections], tuple[int, int]]:
    """Return the detections of every frame and the size in which they were made; one line of the journal per frame."""
    key = hashlib.sha256(json.dumps([hash_file(path), asdict(people)], sort_keys=True).encode()).hexdigest()
    known = _read_journal(journal, key)
    found: list[Detections] = []
    nothing: Detections = (np.zeros((0, 4)), np.zeros(0))
    detector, size = None, (0, 0)
    batch: list[tuple[int, NDArray[np.uint8]]] = []
    lines = [json.dumps({"key": key}), *(json.dumps(line) for line in known.values())]
    write_atomic(journal, "".join(f"{line}\n" for line in lines))
    with journal.open("a", encoding="utf-8") as file, Progress("finding people", unit="frame") as shown:

        def flush() -> None:
            if not batch:
                return
            assert detector is not None
            results = detect_in_turns([frame for _, frame in batch], detector, people)
            for (number, _), result in zip(batch, results, strict=True):
                found[number] = result
                rows = np.column_stack([result[0].round(2), result[1].round(4)]).tolist()
                file.write(json.dumps({"frame": number, "boxes": rows}) + "\n")
            file.flush()
            batch.clear()

        last: Any = None
        for number, frame in enumerate(_frames(path, _SEEN_HEIGHT)):
            size = frame.width, frame.height
            found.append(nothing)
            if number % people.every == 0:
                if number in known:
                    rows = np.asarray(known[number]["boxes"], dtype=np.float64).reshape(-1, 5)
                    found[number] = rows[:, :4], rows[:, 4]
                elif frame is last:  # the film is slower than 30 frames per second, and shows the same picture again
                    flush()
                    found[number] = found[number - people.every]
                else:
                    if detector is None:
                        detector = load_detector(
                            people, accept_license=settings.accept_license, batch_size=settings.batch_size
                        )
                    batch.append((number, frame.to_ndarray(format="rgb24")))
                    if len(batch) == settings.batch_size:
                        flush()
                last = frame
            shown.update()
        flush()
    if not found:
        raise ClipError.damaged(path, "shows no pictures")
    return found, size


def _read_journal(path: Path, key: str) -> dict[int, dict[str, Any]]:
    """Return the lines of a journal by frame; nothing if it is of another film or other settings."""
    found: dict[int, dict[str, Any]] = {}
    try:
        with path.open(encoding="utf-8") as file:
            if json.loads(file.readline()).get("key") != key:
                return {}
            for line in file:
                if line.endswith("\n"):
                    record = json.loads(line)
                    found[record["frame"]] = record
    except (OSError, ValueError, KeyError, AttributeError):
        pass  # a kill cut it off
    return found


class _ActionModel:
    """An action model, and how it is fed."""

    def __init__(self, settings: WatchSettings) -> None:
        from ..models.processing import MicroG4MHarProcessor
        from ..runtime import local_device
        from ..training.predict_run import load_model, recipe_of

        self.model: Any = load_model(recipe_of(str(settings.model))).to(local_device()).eval()
        self.processor = MicroG4MHarProcessor.for_model(self.model.config)
        names = self.model.config.id2label
        count = self.model.config.num_labels
        self.names = [short_name(label) if count == 50 else str(names[label]) for label in range(count)]

    def window(self, frame: int, total: int) -> list[int]:
        from ..models.processing import window_indices

        return window_indices(frame, self.processor.num_frames, self.processor.sampling_rate, total)

    def ask(self, frames: NDArray[np.uint8], boxes: Sequence[Sequence[float]], top_k: int) -> list[Any]:
        import torch

        inputs = self.processor(frames, boxes=boxes)
        device = next(self.model.parameters()).device
        with torch.inference_mode():
            tables = [table.to(device) for table in inputs["boxes"]]
            logits = self.model(pixel_values=inputs["pixel_values"].to(device), boxes=tables).logits
        scores = logits.float().sigmoid().cpu().numpy()
        order = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
        return [
            [(self.names[label], round(float(row[label]), 4)) for label in best]
            for row, best in zip(scores, order, strict=True)
        ]


def _ask(
    path: Path,
    model: _ActionModel,
    by_frame: dict[int, list[Row]],
    total: int,
    size: tuple[int, int],
    settings: WatchSettings,
) -> Actions:
    """Ask the model about everybody at regular moments; frames are kept only as long as a window may need them."""
    step = max(1, round(settings.ask_every * FPS))
    moments = [frame for frame in range(min(step // 2, total - 1), total, step) if by_frame.get(frame)]
    kept: dict[int, NDArray[np.uint8]] = {}
    actions: Actions = {}
    with Progress("asking about actions", total=len(moments), unit="moment") as shown:
        frames = enumerate(_frames(path, _SEEN_HEIGHT))
        for moment in moments:
            window = model.window(moment, total)
            for number in [number for number in kept if number < window[0]]:
                del kept[number]
            while max(window) not in kept:
                number, frame = next(frames)
                if number >= window[0]:
                    kept[number] = frame.to_ndarray(format="rgb24")
            rows = by_frame[moment]
            boxes = [[row[2] / size[0], row[3] / size[1], row[4] / size[0], row[5] / size[1]] for row in rows]
            answers = model.ask(np.stack([kept[number] for number in window]), boxes, settings.top_k)
            actions |= {(moment, row[1]): answer for row, answer in zip(rows, answers, strict=True)}
            shown.update()
    return actions


def _write_people(
    target: Path, film: Path, rows: list[Row], actions: Actions, total: int, size: tuple[int, int]
) -> None:
    people = []
    for person in sorted({row[1] for row in rows}):
        own = [row for row in rows if row[1] == person]
        asked = [
            {"frame_id": frame + 1, "seconds": round(frame / FPS, 3), "actions": [list(one) for one in answer]}
            for (frame, number), answer in sorted(actions.items())
            if number == person
        ]
        boxes = [[row[0], *row[2:]] for row in own]
        people.append({"person_id": person, "actions": asked, "boxes": boxes})
    columns = ["frame_id", "x1", "y1", "x2", "y2", "score", "interpolated"]
    content = {"film": film.name, "fps": FPS, "frames": total, "width": size[0], "height": size[1], "columns": columns}
    write_atomic(target, json.dumps({**content, "people": people}, ensure_ascii=False) + "\n")


def _write_actions(target: Path, by_frame: dict[int, list[Row]], actions: Actions) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("seconds", "frame_id", "person_id", "x1", "y1", "x2", "y2", "rank", "action", "score"))
    for (frame, person), answer in sorted(actions.items()):
        box = next(row[2:6] for row in by_frame[frame] if row[1] == person)
        for rank, (name, score) in enumerate(answer, 1):
            writer.writerow((round(frame / FPS, 3), frame + 1, person, *box, rank, name, score))
    write_atomic(target, text.getvalue())


def _write_film(
    target: Path,
    film: Path,
    by_frame: dict[int, list[Row]],
    actions: Actions,
    total: int,
    size: tuple[int, int],
    settings: WatchSettings,
) -> None:
    import av

    current: dict[int, list[tuple[str, float]]] = {}
    with scratch_file(target) as scratch, Progress("drawing", total=total, unit="frame") as shown:
        with av.open(str(scratch), "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=Fraction(FPS))
            stream.options = {"crf": "20", "preset": "veryfast"}
            stream.pix_fmt = "yuv420p"
            upcoming = sorted(actions)
            for number, frame in enumerate(_frames(film, None)):
                # An answer is shown from half the time before its moment on, as it is about the frames around it.
                while upcoming and upcoming[0][0] <= number + round(settings.ask_every * FPS / 2):
                    moment = upcoming.pop(0)
                    current[moment[1]] = actions[moment]
                if not stream.codec_context.is_open:
                    stream.width, stream.height = frame.width, frame.height
                picture = _annotate(frame.to_ndarray(format="rgb24"), by_frame.get(number, []), current, size, settings)
                drawn = av.VideoFrame.from_ndarray(picture, format="rgb24")
                container.mux(stream.encode(drawn))
                shown.update()
            container.mux(stream.encode())
        os.replace(scratch, target)


def _annotate(
    picture: NDArray[np.uint8],
    rows: list[Row],
    actions: dict[int, list[tuple[str, float]]],
    size: tuple[int, int],
    settings: WatchSettings,
) -> NDArray[np.uint8]:
    """Return the picture with the box, the id and the likely actions of everybody in it."""
    from PIL import Image

    image = Image.fromarray(picture)
    canvas = TextCanvas(image)
    font = max(11, image.height // 34)
    scale = image.width / size[0], image.height / size[1]
    boxes = [(r[2] * scale[0], r[3] * scale[1], r[4] * scale[0], r[5] * scale[1]) for r in rows]
    for row, box in zip(rows, boxes, strict=True):
        canvas.draw.rectangle(box, outline=_COLORS[row[1] % len(_COLORS)], width=max(2, image.height // 240))
    taken = list(boxes)
    for row, box in zip(rows, boxes, strict=True):
        likely = [f"{name} {score:.2f}" for name, score in actions.get(row[1], ()) if score >= settings.threshold]
        lines = [f"#{row[1]}", *likely]
        wide = max(canvas.width(line, font) for line in lines) + 10
        tall = round(1.3 * font) * len(lines) + 4
        x, y = (max(value, 2) for value in place_label((wide, tall), box, taken, image.size))
        taken.append((x, y, x + wide, y + tall))
        canvas.shade((x, y, x + wide, y + tall))
        for place, line in enumerate(lines):
            color = _COLORS[row[1] % len(_COLORS)] if place == 0 else (255, 255, 255)
            canvas.text((x + 5, y + 2 + place * round(1.3 * font)), line, color, font)
    return np.asarray(image)
