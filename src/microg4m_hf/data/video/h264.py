"""The picture size in an H.264 header (its sequence parameter set), so that no frame must be decoded to know it.

Only a check: where this says nothing, or not what the mp4 boxes say, FFmpeg decodes a frame to find out.
"""

from __future__ import annotations

# Profiles that carry chroma format, bit depth and scaling matrices.
_HIGH = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}


def picture_size(avcc: bytes) -> tuple[int, int] | None:
    """(width, height) after cropping, from the ``avcC`` box of an mp4 file; None where it cannot be told.

    >>> picture_size(b"") is None
    True
    """
    if len(avcc) < 8 or avcc[0] != 1 or avcc[5] & 31 != 1:
        return None  # several parameter sets: the stream may switch between them
    length = int.from_bytes(avcc[6:8], "big")
    unit = avcc[8 : 8 + length]
    if len(unit) < 4 or unit[0] & 31 != 7:
        return None
    try:
        return _size(_Bits(unit[1:].replace(b"\0\0\3", b"\0\0")))
    except IndexError:
        return None


class _Bits:
    """Reads bits and Exp-Golomb numbers, most significant bit first."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> int:
        value = 0
        for _ in range(count):
            value = value << 1 | self.data[self.at >> 3] >> (7 - (self.at & 7)) & 1
            self.at += 1
        return value

    def number(self) -> int:
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)

    def signed(self) -> int:
        code = self.number()
        return (code + 1) // 2 if code & 1 else -(code // 2)


def _size(bits: _Bits) -> tuple[int, int]:
    profile = bits.take(8)
    bits.take(16)  # constraints and level
    bits.number()  # id
    chroma = 1
    if profile in _HIGH:
        chroma = bits.number()
        if chroma == 3:
            bits.take(1)
        bits.number(), bits.number(), bits.take(1)  # bit depths, lossless bypass
        if bits.take(1):
            for k in range(8 if chroma != 3 else 12):
                if bits.take(1):
                    _skip_scaling_list(bits, 16 if k < 6 else 64)
    bits.number()  # frame number bits
    order = bits.number()
    if order == 0:
        bits.number()
    elif order == 1:
        bits.take(1), bits.signed(), bits.signed()
        for _ in range(min(bits.number(), 255)):
            bits.signed()
    bits.number(), bits.take(1)  # reference frames, gaps
    width, rows = 16 * (bits.number() + 1), bits.number() + 1
    frames_only = bits.take(1)
    if not frames_only:
        bits.take(1)
    height = 16 * rows * (2 - frames_only)
    bits.take(1)
    if bits.take(1):
        across = 2 if chroma in (1, 2) else 1
        down = (2 if chroma == 1 else 1) * (2 - frames_only)
        left, right, top, bottom = (bits.number() for _ in range(4))
        width -= across * (left + right)
        height -= down * (top + bottom)
    return width, height


def _skip_scaling_list(bits: _Bits, length: int) -> None:
    last = following = 8
    for _ in range(length):
        if following:
            following = (last + bits.signed()) & 255
        last = following or last
