"""How the persons of a clip are turned: angles from a file, or estimated from boxes.

An angle is the number of degrees, clockwise, by which the axis from a person's feet to the head is turned from the
upward direction of the image: 0 for a person with the head up, 90 for one whose head points to the right.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import DataError, SourceError

COLUMNS = ("video_id", "frame_id", "person_id", "angle_degrees")

Angles = dict[tuple[str, int, int], float]  # by video_id, frame_id and person_id


def read_orientations(file: str | os.PathLike[str], *, name: str | None = None) -> Angles:
    """Read the angles of persons from a CSV file with the columns ``video_id,frame_id,person_id,angle_degrees``.

    Columns may come in any order and beside others. An empty angle means that the orientation is not known; the person
    is then left out.

    Args:
        file: The path of the file.
        name: How errors name the file; by default its own name.

    Returns:
        For ``(video_id, frame_id, person_id)`` the clockwise angle, at least 0 and below 360.

    Raises:
        SourceError: If there is no such file.
        DataError: If a column is missing, a value is not a number, or a person of a frame is listed twice.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "orientation.csv"
        >>> _ = path.write_text("video_id,frame_id,person_id,angle_degrees\\na_001,52,1,-90\\n")
        >>> read_orientations(path)
        {('a_001', 52, 1): 270.0}
    """
    path = Path(file).expanduser()
    hint = f"give a CSV file with the columns {','.join(COLUMNS)}"
    angles: Angles = {}
    name = name or path.name
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines)
            missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
            if missing:
                raise DataError(f"no column {', '.join(missing)}", file=name, line=1, hint=hint)
            for row in rows:
                text = (row["angle_degrees"] or "").strip()
                try:
                    key = (row["video_id"], int(row["frame_id"]), int(row["person_id"]))
                    angle = float(text) if text else None
                except (TypeError, ValueError):
                    angle, key = math.nan, ("", 0, 0)
                if angle is not None and not math.isfinite(angle):
                    problem = "frame_id and person_id must be whole numbers, and angle_degrees a number"
                    raise DataError(problem, file=name, line=rows.line_num, hint=hint)
                if key in angles:
                    raise DataError(
                        f"person {key[2]} in frame {key[1]} of {key[0]} is listed twice",
                        file=name,
                        line=rows.line_num,
                        hint="keep one of the two rows",
                    )
                if angle is not None:
                    angles[key] = angle % 360
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}); {hint}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"the file is not CSV text in UTF-8 ({error})", file=name, hint=hint) from None
    return angles


def angle_from_box(box: Sequence[float], height: int, width: int) -> float:
    """Estimate the angle of a person from the box alone: 0 for a tall one, 90 for a wide one.

    A box has no head: a person upside down also gets 0, and one whose head points to the left also gets 90.

    Args:
        box: Normalized xyxy.
        height: Height of the frame.
        width: Width of the frame.

    Example:
        >>> angle_from_box([0.4, 0.1, 0.6, 0.9], 480, 854), angle_from_box([0.1, 0.4, 0.9, 0.6], 480, 854)
        (0.0, 90.0)
    """
    x1, y1, x2, y2 = (float(value) for value in box)
    return 90.0 if (x2 - x1) * width > (y2 - y1) * height else 0.0
