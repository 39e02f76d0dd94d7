"""The colours of figures and their things."""

from __future__ import annotations

from .drawing import Color

# Shirts are muted and everything else on a body is grey: the bright colours belong to what the actions need.
SHIRT_COLORS: dict[str, Color] = {
    "red": (176, 70, 66),
    "green": (92, 142, 92),
    "blue": (78, 104, 166),
    "purple": (126, 90, 152),
    "brown": (122, 84, 56),
    "black": (46, 48, 54),
}
SKINS: tuple[Color, ...] = ((241, 206, 178), (208, 160, 122), (142, 100, 74))
HELMET: Color = (166, 172, 182)
GLOVE: Color = (150, 154, 162)
ARM: Color = (128, 132, 142)
TROUSER: Color = (92, 96, 108)
BOOT: Color = (60, 62, 70)
STRAP: Color = (196, 178, 140)
YELLOW: Color = (255, 222, 0)
TURQUOISE: Color = (0, 214, 160)
PINK: Color = (255, 50, 168)
VIOLET: Color = (132, 44, 232)
ORANGE: Color = (255, 112, 0)
SKY: Color = (50, 206, 255)
NAVY: Color = (0, 24, 230)
GREEN: Color = (30, 255, 40)
RED: Color = (255, 16, 16)
WHITE: Color = (255, 255, 255)
