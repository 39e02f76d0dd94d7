"""Convert JHMDB to a folder in AVA's format: ``python -m microg4m_hf.training.jhmdb JHMDB FOLDER``.

The input files are ``splits/<class>_test_split<n>.txt``, ``Rename_Images/<class>/<clip>/*.png`` and, for the box,
``puppet_mask/<class>/<clip>/puppet_mask.mat`` (the outline of the person) or else
``joint_positions/<class>/<clip>/joint_positions.mat``. Every clip gives one key frame, its middle.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from ..extras import require
from ..runtime import progress
from ..storage import atomic_folder

# The nearest class of AVA, judged by the clips; classes without one (None) are left out. JHMDB's sit and stand are the
# movements of sitting down and standing up, of which AVA has only the latter ("get up") as a class of its own; golf and
# swing_baseball are "hit (an object)", pick is "lift/pick up", shoot_ball is "throw".
AVA_ID: dict[str, int | None] = {
    "brush_hair": None, "catch": 18, "clap": 67, "climb_stairs": 20, "golf": 34, "jump": 7, "kick_ball": 35, "pick": 36,
    "pour": None, "pullup": None, "push": 46, "run": 10, "shoot_ball": 58, "shoot_bow": 52, "shoot_gun": 52, "sit": 11,
    "stand": 6, "swing_baseball": 34, "throw": 58, "walk": 14, "wave": 69,
}  # fmt: skip
FPS = 25  # of all clips
_AGAIN = "download JHMDB again"
JOINT_MARGIN = 0.1  # joints lie inside the person: grow their extent by this fraction to reach the outline


def convert(root: Path, target: Path, split: int = 1, part: str = "test") -> int:
    """Write the clips of a split and their ``annotations.csv``, and return how many clips there are."""
    from ..data.sample.write import write_clip

    clips = _list_clips(root, split, {"train": 1, "test": 2}[part])
    if not clips:
        raise DataError(f"split {split} of JHMDB lists no clip", file=root / "splits", hint=_AGAIN)
    rows = []
    with atomic_folder(target) as scratch:
        for name, clip in progress(clips, "converting", unit="clip"):
            frames = _read_frames(root / "Rename_Images" / name / clip)
            middle = len(frames) // 2
            height, width = frames[0].shape[:2]
            box = _read_box(root, name, clip, middle, height, width)
            # 4:2:0 video needs even sides.
            even = [np.ascontiguousarray(frame[: height // 2 * 2, : width // 2 * 2]) for frame in frames]
            write_clip(scratch / "videos" / name / f"{clip}.mp4", even, fps=FPS)
            rows.append(",".join([clip, str(middle + 1), *(f"{side:.3f}" for side in box), str(AVA_ID[name]), "1"]))
        (scratch / "annotations.csv").write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return len(rows)


def _list_clips(root: Path, split: int, code: int) -> list[tuple[str, str]]:
    clips = []
    for name, action in AVA_ID.items():
        file = root / "splits" / f"{name}_test_split{split}.txt"
        if action is None:
            continue
        if not file.is_file():
            raise DataError("the list of a class is missing", file=file, hint=_AGAIN)
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            words = line.split()
            if len(words) != 2 or words[1] not in ("1", "2") or Path(words[0]).name != words[0]:
                raise DataError("a line needs a clip and 1 or 2", file=file, line=number, value=line, hint=_AGAIN)
            if int(words[1]) == code:
                clips.append((name, Path(words[0]).stem))
    return clips


def _read_frames(folder: Path) -> list[np.ndarray]:
    from PIL import Image

    files = sorted(folder.glob("*.png"))
    if not files:
        raise DataError("the folder has no png files", file=folder, hint=_AGAIN)
    frames = []
    for file in files:
        with Image.open(file) as image:
            frames.append(np.asarray(image.convert("RGB")))
    return frames


def _read_box(root: Path, name: str, clip: str, frame: int, height: int, width: int) -> list[float]:
    """x1, y1, x2, y2, normalized."""
    mask = root / "puppet_mask" / name / clip / "puppet_mask.mat"
    if mask.is_file():
        outline = _read_mat(mask, "part_mask")
        rows, columns = np.nonzero(outline[:, :, min(frame, outline.shape[2] - 1)])
        if len(rows):
            sides = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            return (sides / ([outline.shape[1], outline.shape[0]] * 2)).tolist()
    joints = root / "joint_positions" / name / clip / "joint_positions.mat"
    positions = _read_mat(joints, "pos_img")
    x, y = positions[:, :, min(frame, positions.shape[2] - 1)]
    margin = JOINT_MARGIN * max(float(np.ptp(x)), float(np.ptp(y)))
    sides = np.array([x.min() - margin, y.min() - margin, x.max() + margin, y.max() + margin], float)
    box = np.clip(sides / [width, height, width, height], 0, 1).tolist()
    if not (box[0] < box[2] and box[1] < box[3]):
        raise DataError("the joints lie outside the frame", file=joints, hint=_AGAIN)
    return box


def _read_mat(file: Path, name: str) -> np.ndarray:
    """A numeric array in a MATLAB file; reading it with scipy runs no code."""
    io: Any = require("scipy.io", "reading MATLAB files")
    if not file.is_file():
        raise DataError("there is neither an outline nor joints of the person", file=file, hint=_AGAIN)
    try:
        values = np.asarray(io.loadmat(file, variable_names=[name])[name])
    except Exception as error:  # scipy's parser can raise anything on an invalid file
        problem = f"this is not a MATLAB file with {name} ({type(error).__name__})"
        raise DataError(problem, file=file, hint=_AGAIN) from error
    if values.ndim != 3 or values.dtype.kind not in "biuf":
        raise DataError(f"{name} is not a numeric array with 3 axes", file=file, hint=_AGAIN)
    return values


def main() -> None:
    parser = argparse.ArgumentParser(description="Convert JHMDB to a folder in AVA's format")
    parser.add_argument("root", type=Path, help="the folder with Rename_Images, splits and puppet_mask")
    parser.add_argument("target", type=Path)
    parser.add_argument("--split", type=int, default=1, choices=(1, 2, 3))
    parser.add_argument("--part", default="test", choices=("train", "test"))
    args = parser.parse_args()
    count = convert(args.root, args.target, args.split, args.part)
    print(f"{count} clips in {args.target}; microg4m predict har --model … --ava-format {args.target}")


if __name__ == "__main__":
    main()
