"""Films of red figures that walk over a textured ground, and a detector that finds whatever is red."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.support.videos import write_video

DETECTOR = "tests.support.drawn_films:find_red"
MARK = (230, 20, 20)


def walk(count: int = 100, size: tuple[int, int] = (72, 96), seed: int = 0, speed: float = 0.5) -> np.ndarray:
    """Return frames in which one figure walks from left to right; the ground has no red."""
    height, width = size
    ground = np.kron(np.random.default_rng(seed).integers(40, 160, (height // 8, width // 8, 3)), np.ones((8, 8, 1)))
    frames = np.repeat(ground.astype(np.uint8)[None], count, axis=0)
    frames[..., 0] //= 2
    for number, frame in enumerate(frames):
        left = 4 + int(number * speed) % (width - 28)
        frame[10 : height - 10, left : left + 20] = MARK
    return frames


def write_films(folder: Path, names: tuple[str, ...] = ("Mir", "Sky lab"), count: int = 100) -> Path:
    """Write films of that many frames at 30 frames per second, and their ``sources.csv``; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["path,license,url,attribution"]
    for seed, name in enumerate(names):
        write_video(folder / f"{name}.mp4", walk(count, seed=seed))
        rows.append(f"{name}.mp4,CC-BY-4.0,https://example.org/{seed},Agency {seed}")
    (folder / "sources.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def find_red(frames: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the box of the red pixels of each frame, with a score of 0.9."""
    found = []
    for frame in frames:
        red = (frame[..., 0] > 180) & (frame[..., 1] < 90) & (frame[..., 2] < 90)
        rows, columns = np.nonzero(red)
        if len(rows) < 30:
            found.append((np.zeros((0, 4)), np.zeros(0)))
            continue
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        found.append((np.array([box], dtype=float), np.array([0.9])))
    return found
