"""Look into the clips of a release: what their headers state, what the annotations expect, and whether they decode."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..errors import ClipError, list_some
from ..runtime import progress
from .release.clip_files import clip_path
from .release.faults import ErrorPolicy
from .release.layout import Layout
from .release.release import Release
from .unpack import open_archive
from .video.probe import probe

CLIP_SECONDS = 300  # the longest that decoding one clip may take
_KINDS_SHOWN = 4


def check_archive(layout: Layout, clips: pa.Table, policy: ErrorPolicy) -> list[str]:
    """Check ``videos.zip`` without unpacking it, and report clips that it lacks; return notes.

    Args:
        layout: The release.
        clips: The clips that the archive should have.
        policy: Where faults are reported.

    Raises:
        DataError: If the archive is damaged or not safe.
    """
    archive = layout.require("archive")
    with open_archive(archive) as (_, entries):
        packed = {Path(entry.path).stem for entry in entries}
    for video_id in clips["video_id"].to_pylist():
        if video_id not in packed:
            policy.report(layout.name(archive), None, video_id, "the clip is missing in the archive")
    return [
        f"{layout.name(archive)} with {len(packed):,} clips is not unpacked: loading the dataset unpacks it, or "
        f"`microg4m data unpack --data-dir {layout.root}`; then check again to look into the clips"
    ]


def find_last_frames(release: Release) -> dict[str, int]:
    """Return the last annotated frame of each clip, counted from 1."""
    last: dict[str, int] = {}
    ids = release.clips["video_id"].to_pylist()
    for table in (release.key_frames, release.boxes):
        if table is None or not len(table):
            continue
        grouped = table.select(["video_id", "frame"]).group_by("video_id").aggregate([("frame", "max")])
        names = [ids[name] if isinstance(name, int) else name for name in grouped["video_id"].to_pylist()]
        for name, frame in zip(names, grouped["frame_max"].to_pylist(), strict=True):
            last[name] = max(frame, last.get(name, 0))
    return last


def check_clips(
    layout: Layout,
    clips: pa.Table,
    last_frames: dict[str, int],
    policy: ErrorPolicy,
    *,
    decode: bool = False,
    workers: int | None = None,
) -> list[str]:
    """Read the header of each clip, and with ``decode`` all its frames; report faults and return notes.

    Args:
        layout: The release.
        clips: The clips whose files are there.
        last_frames: The last annotated frame of each clip, counted from 1.
        policy: Where faults are reported.
        decode: Decode every frame in other processes.
        workers: How many processes; by default one for each processor.
    """
    videos = layout.require("videos")
    kinds: Counter[str] = Counter()
    paths: dict[str, Path] = {}
    for clip in progress(clips.to_pylist(), "reading headers", total=len(clips), unit="clip"):
        path = clip_path(videos, clip["domain"], clip["source"], clip["video_id"])
        try:
            info = probe(path)
        except ClipError as error:
            policy.report(layout.name(path), None, clip["video_id"], f"the clip cannot be read: {error}")
            continue
        paths[clip["video_id"]] = path
        kinds[f"{info.codec} {info.width}x{info.height}, {info.frames_in_header} frames, {info.fps:.4g} fps"] += 1
        _check_last_frame(layout.name(path), last_frames.get(clip["video_id"], 0), info.frames_in_header, policy)
    if decode:
        for (video_id, path), result in zip(paths.items(), decode_clips(list(paths.values()), workers), strict=True):
            if "error" in result:
                policy.report(layout.name(path), None, video_id, f"the clip cannot be decoded: {result['error']}")
            elif result["frames"] != result["expected"]:
                reason = f"{result['frames']} of {result['expected']} frames can be decoded"
                policy.report(layout.name(path), None, video_id, reason)
            else:
                _check_last_frame(layout.name(path), last_frames.get(video_id, 0), result["frames"], policy)
    named = [f"{count:,} {kind}" for kind, count in kinds.most_common()]
    notes = [f"clips: {list_some(named, _KINDS_SHOWN)}"] if named else []
    return notes + ([f"all frames of {len(paths):,} clips were decoded"] if decode else [])


def _check_last_frame(name: str, last: int, frames: int, policy: ErrorPolicy) -> None:
    if 0 < frames < last:  # the header of a fragmented file states no number
        policy.report(name, None, last, f"the clip has {frames} frames, its last box is in frame")


def decode_clips(paths: Sequence[Path], workers: int | None = None) -> Iterator[dict[str, Any]]:
    """Yield for each path, in order, the number of ``frames`` that decode and of those ``expected``, or an ``error``.

    Each worker is a process of its own, so that a clip that crashes the decoder or blocks it is one fault.

    Args:
        paths: The clips.
        workers: How many processes; by default one for each processor.

    Raises:
        OSError: If a process cannot be started.
    """
    results: dict[int, dict[str, Any]] = {}
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for place in range(len(paths)):
        waiting.put(place)
    arrived: queue.SimpleQueue[OSError | None] = queue.SimpleQueue()

    def work() -> None:
        worker = _Worker()
        try:
            while True:
                place = waiting.get_nowait()
                results[place] = worker.decode(paths[place])
                arrived.put(None)
        except queue.Empty:
            pass
        except OSError as error:  # a process could not be started
            arrived.put(error)
        finally:
            worker.close()

    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = max(1, min(workers or processors, len(paths)))
    threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for _ in progress(range(len(paths)), "decoding", unit="clip"):
        if (problem := arrived.get()) is not None:
            raise problem
    yield from (results[place] for place in range(len(paths)))


class _Worker:
    """A process that decodes clips; it is started again after a clip that ended it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def decode(self, path: Path) -> dict[str, Any]:
        process = self._process = self._process or _start()
        assert process.stdin is not None and process.stdout is not None
        timer = threading.Timer(CLIP_SECONDS, process.kill)
        timer.start()
        try:
            process.stdin.write(json.dumps(os.fspath(path)) + "\n")
            process.stdin.flush()
            answer: dict[str, Any] = json.loads(process.stdout.readline())
        except (OSError, ValueError):
            code = process.wait()
            self.close()
            return {"error": f"the decoder ended with {code} or took more than {CLIP_SECONDS} s"}
        finally:
            timer.cancel()
        return answer

    def close(self) -> None:
        if self._process is not None:
            with contextlib.suppress(OSError):
                self._process.communicate()  # the end of its input ends it
        self._process = None


def _start() -> subprocess.Popen[str]:
    root = str(Path(__file__).parents[2])  # the package, also where it is not installed
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))}
    command = [sys.executable, "-m", "microg4m_hf.data.video.decode_worker"]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
