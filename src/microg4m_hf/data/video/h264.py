"""Read the frame size from an H.264 sequence parameter set (SPS), so that no frame is decoded to find it.

The result only confirms the mp4 header: where the two differ, or the size is unknown, FFmpeg decodes a frame.
"""

from __future__ import annotations

# Profiles that carry chroma format, bit depth and scaling matrices.
_HIGH_PROFILES = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}


def parse_avcc_frame_size(avcc: bytes) -> tuple[int, int] | None:
    """Return (width, height) after cropping from the ``avcC`` box of an mp4 file, or None if unknown.

    >>> parse_avcc_frame_size(b"") is None
    True
    """
    if len(avcc) < 8 or avcc[0] != 1 or avcc[5] & 31 != 1:
        return None  # several parameter sets: the stream may switch between them
    sps = avcc[8 : 8 + int.from_bytes(avcc[6:8], "big")]
    if len(sps) < 4 or sps[0] & 31 != 7:
        return None
    try:
        return _parse_sps(_BitReader(sps[1:].replace(b"\0\0\3", b"\0\0")))
    except IndexError:
        return None


class _BitReader:
    """Bits and Exp-Golomb numbers (``ue``, ``se`` in the H.264 standard), most significant bit first."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def bits(self, count: int) -> int:
        value = 0
        for _ in range(count):
            value = value << 1 | self.data[self.at >> 3] >> (7 - (self.at & 7)) & 1
            self.at += 1
        return value

    def ue(self) -> int:
        zeros = 0
        while not self.bits(1):
            zeros += 1
        return (1 << zeros) - 1 + self.bits(zeros)

    def se(self) -> int:
        code = self.ue()
        return (code + 1) // 2 if code & 1 else -(code // 2)


def _parse_sps(sps: _BitReader) -> tuple[int, int]:
    profile = sps.bits(8)
    sps.bits(16)  # constraints and level
    sps.ue()  # id
    chroma = 1
    if profile in _HIGH_PROFILES:
        chroma = sps.ue()
        if chroma == 3:
            sps.bits(1)
        sps.ue(), sps.ue(), sps.bits(1)  # bit depths, lossless bypass
        if sps.bits(1):
            for k in range(8 if chroma != 3 else 12):
                if sps.bits(1):
                    _skip_scaling_list(sps, 16 if k < 6 else 64)
    sps.ue()  # frame number bits
    order = sps.ue()
    if order == 0:
        sps.ue()
    elif order == 1:
        sps.bits(1), sps.se(), sps.se()
        for _ in range(min(sps.ue(), 255)):
            sps.se()
    sps.ue(), sps.bits(1)  # reference frames, gaps
    width, rows = 16 * (sps.ue() + 1), sps.ue() + 1
    frames_only = sps.bits(1)
    if not frames_only:
        sps.bits(1)
    height = 16 * rows * (2 - frames_only)
    sps.bits(1)
    if sps.bits(1):  # cropping
        across = 2 if chroma in (1, 2) else 1
        down = (2 if chroma == 1 else 1) * (2 - frames_only)
        left, right, top, bottom = (sps.ue() for _ in range(4))
        width -= across * (left + right)
        height -= down * (top + bottom)
    return width, height


def _skip_scaling_list(sps: _BitReader, length: int) -> None:
    last = following = 8
    for _ in range(length):
        if following:
            following = (last + sps.se()) & 255
        last = following or last
