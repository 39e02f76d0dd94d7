"""The contact sheet draws boxes and texts at their places, also for incomplete rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from microg4m_hf.data.contact_sheet import (
    GAP,
    MARGIN,
    WIDE,
    TextCanvas,
    contact_sheet,
    place_label,
    short_name,
    varied,
)
from microg4m_hf.data.sample import make_sample
from microg4m_hf.errors import ClipError, MicroG4MError
from microg4m_hf.taxonomy import NUM_ACTIONS


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_sample(tmp_path_factory.mktemp("one"), height=48, clips=1)
    return next(folder.glob("videos/*/*/*.mp4"))


def _row(path: Path, **changes: object) -> dict:
    person = {"person_id": 1, "actions": [9, 48], "key_frame": 50, "key_box": [0.25, 0.25, 0.5, 0.75]}
    person |= {"frames": [49, 50], "boxes": [[0.2, 0.2, 0.5, 0.7], [0.25, 0.25, 0.5, 0.75]]}
    row = {"video": {"path": str(path), "bytes": None}, "video_id": "A_001", "source": "A", "domain": "real"}
    return row | {"persons": [person]} | changes


def test_a_card_marks_the_person_at_the_key_frame(clip: Path, tmp_path: Path) -> None:
    with Image.open(contact_sheet([_row(clip)], tmp_path / "new" / "sheet.png")) as page:
        pixels = np.asarray(page.convert("RGB")).astype(int)
    assert pixels.shape[1] == 2 * MARGIN + WIDE + 2 * GAP
    white = (pixels.min(axis=-1) > 250).sum(axis=0)  # the upright sides of the box are the tallest white columns
    left, right = (MARGIN + GAP + round(WIDE * side) for side in (0.25, 0.5))
    tall = 0.45 * WIDE * 480 / 854
    assert white[left : left + 4].max() > tall
    assert white[right - 4 : right + 1].max() > tall
    assert white[left + 12 : right - 12].max() < tall


def test_captions_and_questions_make_the_card_taller(clip: Path, tmp_path: Path) -> None:
    def height(**texts: object) -> int:
        with Image.open(contact_sheet([_row(clip)], tmp_path / "sheet.png", **texts)) as page:
            return page.height

    caption = [{"video_id": "A_001", "caption": "word " * 60}]
    asked = [{"video_id": "A_001", "question": "Who?\u200b\x07", "answer": "Samantha Cristoforetti ⚑"}]
    plain = height()
    assert plain < height(captions=caption) < height(captions=caption, questions=asked)
    assert height(captions=[{"video_id": "B_001", "caption": "another clip's"}]) == plain


def test_persons_without_boxes_and_clips_without_persons_are_shown(clip: Path, tmp_path: Path) -> None:
    bare = {"person_id": 2, "actions": [], "key_frame": None, "key_box": [], "frames": [], "boxes": []}
    rows = [_row(clip, persons=[]), _row(clip, persons=[bare]), _row(clip)]
    with Image.open(contact_sheet(rows, tmp_path / "sheet.png", columns=2)) as page:
        assert page.width == 2 * MARGIN + 2 * (WIDE + 2 * GAP) + GAP


def test_an_unreadable_clip_is_an_error_with_its_name(clip: Path, tmp_path: Path) -> None:
    broken = tmp_path / "A_001.mp4"
    broken.write_bytes(clip.read_bytes()[:500])
    with pytest.raises(ClipError, match=r"A_001\.mp4"):
        contact_sheet([_row(broken)], tmp_path / "sheet.png")
    assert not (tmp_path / "sheet.png").exists()


def test_no_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MicroG4MError, match="no clips"):
        contact_sheet([], tmp_path / "sheet.png")
    with pytest.raises(MicroG4MError, match="videos=True"):
        contact_sheet([{"video_id": "A_001", "persons": []}], tmp_path / "sheet.png")


def test_varied_selects_new_actions_first() -> None:
    def row(name: str, domain: str, *labels: int) -> dict:
        return {"video_id": name, "source": name[0], "domain": domain, "persons": [{"actions": list(labels)}]}

    rows = [row("A1", "real", 1), row("A2", "real", 1), row("B1", "movie", 2), row("A3", "real", 1, 3)]
    assert [one["video_id"] for one in varied(rows, 2)] == ["A3", "B1"]
    assert len(varied(rows, 9)) == 4


def test_short_names_are_unique() -> None:
    names = [short_name(label) for label in range(NUM_ACTIONS)]
    assert len(set(names)) == NUM_ACTIONS
    assert max(map(len, names)) <= 32
    assert not any("(" in name or "e.g." in name for name in names)


def test_wrapped_lines_fit_and_end_with_an_ellipsis_where_text_was_cut() -> None:
    canvas = TextCanvas(Image.new("RGB", (1, 1)))
    lines = canvas.wrap("weightless " * 50, 17, 300, 4)
    assert len(lines) == 4
    assert lines[-1].endswith("…")
    assert max(canvas.width(line, 17) for line in lines) <= 300


def test_labels_avoid_boxes_and_stay_inside_the_image() -> None:
    taken = [(10.0, 10.0, 60.0, 60.0), (10.0, 62.0, 60.0, 100.0)]
    x, y = place_label((40, 20), taken[0], taken, (200, 110))
    assert x >= 60  # no room above, another person below: beside the box
    assert x + 40 <= 200
    assert y >= 0
