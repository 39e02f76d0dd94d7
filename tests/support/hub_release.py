"""A tiny release, and the same on the local Hub in the layout of the authors: two repositories and ``videos.zip``."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

from microg4m_hf.data.sources import DATA_REPO, SPLITS_REPO
from tests.support.hub_server import HubServer
from tests.support.videos import pictures, write_video

# clip -> official split; clips of ISS are in all three, as in the release
CLIPS = {
    "real/ISS/ISS_001": "train",
    "real/ISS/ISS_002": "train",
    "real/ISS/ISS_003": "test",
    "real/ISS/ISS_004": "val",
    "real/Skylab-3/Skylab-3_010": "train",
    "real/Skylab-3/Skylab-3_011": "test",
    "real/W_2Rl/W_2Rl_007": "train",
    "real/Mir/Mir_005": "val",
    "movie/Apollo13/Apollo13_032": "train",
    "movie/Apollo13/Apollo13_033": "test",
    "movie/Gravity/Gravity_100": "train",
    "movie/Solaris/Solaris_001": "train",
}
_AVA = {"train": "ava_train.csv", "val": "ava_val_gt.csv", "test": "ava_test_gt.csv"}
_SIZE = (48, 64)


def tiny_release(root: Path) -> Path:
    """Write a release of twelve clips of a third of a second, with every file of the released layout."""
    actions = ["video_id,movie_or_real,person_id,action"]
    boxes = ["video_id,frame_id,person_id,xmin,ymin,xmax,ymax"]
    ava: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    texts = []
    for number, (clip, split) in enumerate(CLIPS.items()):
        domain, _, video_id = clip.split("/")
        target = root / "videos" / f"{clip}.mp4"
        target.parent.mkdir(parents=True, exist_ok=True)
        write_video(target, pictures(10, *_SIZE, seed=number))
        for person in range(1, 2 + number % 2):
            left, top = 4 * person, 6
            for action in (12, 79):
                actions.append(f"{video_id},{domain[0]},{person},{action}")
                corners = f"{left / 64:.3f},{top / 48:.3f},{(left + 16) / 64:.3f},{(top + 30) / 48:.3f}"
                ava[split].append(f"{video_id},5,{corners},{action},{person}")
            for frame in range(1, 11):
                boxes.append(f"{video_id},{frame},{person},{left},{top},{left + 16},{top + 30}")
        if domain == "real" and number % 2 == 0:
            pairs = [{"Q": f"What is seen in clip {number}, {ask}?", "A": "A square."} for ask in ("first", "then")]
            texts.append({"video_id": video_id, "caption": f"A square moves in clip {number}.", "qa_pairs": pairs})
    files = {
        "annotation_files/actions.csv": actions,
        "annotation_files/bounding_boxes.csv": boxes,
        **{f"train_ready/{_AVA[split]}": rows for split, rows in ava.items()},
        "train_ready/ava_all.csv": [row for rows in ava.values() for row in rows],
    }
    for name, lines in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("\n".join(lines) + "\n")
    (root / "vqa_and_captioning.json").write_text(json.dumps(texts, indent=1))
    return root


def zip_videos(videos: Path) -> bytes:
    """Return ``videos.zip`` of a folder ``videos``."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for clip in sorted(videos.rglob("*.mp4")):
            archive.write(clip, f"videos/{clip.relative_to(videos).as_posix()}")
    return packed.getvalue()


def put_release(hub: HubServer, root: Path) -> dict[str, str]:
    """Commit a release folder to both repositories, and return their commits."""
    data: dict[str, bytes] = {}
    splits: dict[str, bytes] = {}
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.suffix in {".csv", ".json", ".pbtxt"}:
            (splits if path.name.startswith("ava_") else data)[path.relative_to(root).as_posix()] = path.read_bytes()
    data["videos.zip"] = zip_videos(root / "videos")
    data["videos_annotated.zip"] = b"not needed"
    return {DATA_REPO: hub.put("dataset", DATA_REPO, data), SPLITS_REPO: hub.put("dataset", SPLITS_REPO, splits)}
