"""How much a picture moves: the authors' two levels of motion, and the motion of the camera for the tracker."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...extras import require

Gray = NDArray[np.uint8]
HIGH_MOTION = 95.0  # pixels: the sum of the displacements of all corners, as a mean over the frames
_FIRST_FRAMES = 30
_CORNERS = {"maxCorners": 100, "qualityLevel": 0.3, "minDistance": 7, "blockSize": 7}
_FLOW = {"winSize": (15, 15), "maxLevel": 2, "criteria": (3, 10, 0.03)}


def motion_of(gray: NDArray[np.uint8]) -> float:
    """Return the motion in the first 30 frames of a clip as the authors measured it.

    Args:
        gray: Gray frames (n, height, width).
    """
    cv2: Any = require("cv2", "measuring motion", extra="curate")
    sums = []
    for before, after in itertools.pairwise(gray[:_FIRST_FRAMES]):
        corners = cv2.goodFeaturesToTrack(before, mask=None, **_CORNERS)
        if corners is None:
            sums.append(0.0)
            continue
        moved, found, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, None, **_FLOW)
        good = found.ravel() == 1
        sums.append(float(np.linalg.norm((moved - corners).reshape(-1, 2)[good], axis=1).sum()))
    return float(np.mean(sums)) if sums else 0.0


def camera_motion(gray: NDArray[np.uint8], frame: int) -> NDArray[np.float64]:
    """Return the (2, 3) matrix that moves points of the frame before to this frame; the identity where none is found.

    Args:
        gray: Gray frames (n, height, width).
        frame: The frame, from 1.
    """
    cv2: Any = require("cv2", "following the camera", extra="curate")
    still = np.eye(2, 3)
    before, after = gray[frame - 1, ::2, ::2].copy(), gray[frame, ::2, ::2].copy()
    corners = cv2.goodFeaturesToTrack(before, mask=None, maxCorners=1000, qualityLevel=0.01, minDistance=1, blockSize=3)
    if corners is None or len(corners) < 5:
        return still
    moved, found, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, None)
    good = found.ravel() == 1
    if good.sum() < 5:
        return still
    cv2.setRNGSeed(0)
    matrix, _ = cv2.estimateAffinePartial2D(corners[good], moved[good], method=cv2.RANSAC)
    if matrix is None:
        return still
    matrix[:, 2] *= 2
    return np.asarray(matrix, dtype=np.float64)
