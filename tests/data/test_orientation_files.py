"""The file with the orientation of each person, and the estimate from a box."""

from __future__ import annotations

from pathlib import Path

import pytest

from microg4m_hf.data.orientation import angle_from_box, read_orientations
from microg4m_hf.errors import DataError, SourceError

HEADER = "video_id,frame_id,person_id,angle_degrees\n"


def _file(folder: Path, text: str | bytes) -> Path:
    path = folder / "orientation.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_angles_are_read_by_person_and_brought_into_one_turn(tmp_path: Path) -> None:
    rows = "a_001,52,1,-90\na_001,52,2,\na_001,60,1,725.5\n"
    assert read_orientations(_file(tmp_path, HEADER + rows)) == {("a_001", 52, 1): 270.0, ("a_001", 60, 1): 5.5}


def test_columns_come_in_any_order_beside_others(tmp_path: Path) -> None:
    text = "\ufeffangle_degrees,note,person_id,frame_id,video_id\r\n12,x,3,7,b_002\r\n"
    assert read_orientations(_file(tmp_path, text)) == {("b_002", 7, 3): 12.0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("video_id,frame_id,angle_degrees\na_001,52,0\n", "line 1: no column person_id"),
        ("", "no column video_id, frame_id, person_id, angle_degrees"),
        (HEADER + "a_001,52,1,up\n", "line 2: frame_id and person_id must be whole numbers"),
        (HEADER + "a_001,52,1,0\na_001,5.5,1,0\n", "line 3: frame_id and person_id must be whole numbers"),
        (HEADER + "a_001,52,1,nan\n", "line 2: frame_id and person_id must be whole numbers"),
        (HEADER + "a_001,52\n", "line 2: frame_id and person_id must be whole numbers"),
        (HEADER + "a_001,52,1,0\na_001,52,1,90\n", "line 3: person 1 in frame 52 of a_001 is listed twice"),
        (b"\xff\xfe\x00video", "not CSV text"),
    ],
)
def test_faults_name_the_line_and_the_columns(text: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message) as error:
        read_orientations(_file(tmp_path, text))
    assert "video_id,frame_id,person_id,angle_degrees" in str(error.value) or "keep one" in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.csv cannot be read"):
        read_orientations(tmp_path / "none.csv")


def test_a_box_tells_lying_from_upright_in_pixels() -> None:
    """A square in normalized numbers is wide on a wide frame."""
    assert angle_from_box([0.0, 0.0, 0.5, 0.5], 480, 854) == 90.0
    assert angle_from_box([0.0, 0.0, 0.5, 0.5], 480, 480) == 0.0
