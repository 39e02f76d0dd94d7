"""A figure at one moment as strokes in its own frame: x to the right, y towards the head, figure height 1.

Each action shows in the limbs, their motion and the thing in the hands, never in the colour of the suit.
"""

from __future__ import annotations

from math import cos, pi, radians, sin
from typing import NamedTuple

from .drawing import INK, Color, Point, Stroke, disc
from .world import Figure

SUIT_COLORS: dict[str, Color] = {
    "red": (205, 48, 44),
    "orange": (240, 132, 28),
    "yellow": (236, 204, 52),
    "green": (62, 160, 70),
    "blue": (46, 92, 200),
    "purple": (136, 66, 178),
    "white": (234, 236, 240),
}
SKINS: tuple[Color, ...] = ((241, 200, 168), (208, 150, 108), (142, 92, 62))
GLOVE: Color = (222, 226, 232)
BOOT: Color = (70, 74, 86)
RAIL: Color = (255, 214, 10)
SEAT: Color = (120, 72, 40)
TRACK: Color = (96, 214, 196)
SHOULDER, ELBOW, FOREARM, THIGH, SHIN = 0.2, 0.15, 0.16, 0.2, 0.2


class Moment(NamedTuple):
    """What a pose depends on."""

    figure: Figure
    time: float  # seconds
    gaze: Point  # unit vector towards the watched person, in the figure's frame

    def cycle(self, hertz: float, shift: float = 0.0) -> float:
        """Sine of a cycle of this figure, -1 to 1."""
        return sin(2 * pi * (hertz * self.time + self.figure.phase + shift))

    @property
    def suit(self) -> Color:
        return SUIT_COLORS[self.figure.suit]

    @property
    def sleeve(self) -> Color:
        red, green, blue = self.suit
        return red * 4 // 5, green * 4 // 5, blue * 4 // 5


def strokes(moment: Moment) -> list[Stroke]:
    """Everything of a figure, back to front."""
    return [*_lower(moment), *_torso(moment), *_head(moment), *_thing(moment), *_arms(moment)]


def lift(figure: Figure, time: float) -> float:
    """How far a jump carries the whole figure along its own axis, in figure heights."""
    return 0.06 * _stretch(figure, time) if figure.posture == "jump" else 0.0


def _stretch(figure: Figure, time: float) -> float:
    """0 crouched … 1 stretched, for a jump."""
    return 0.5 + 0.5 * sin(2 * pi * (1.0 * time + figure.phase))


def _lower(moment: Moment) -> list[Stroke]:
    """Legs, boots and what they stand, walk or sit on."""
    figure, side = moment.figure, moment.figure.side
    if figure.posture == "stand":
        sway = 2 * moment.cycle(0.4)
        legs = _leg(moment, -0.06, -5 + sway, -5 + sway) + _leg(moment, 0.06, 5 + sway, 5 + sway)
        rail = [Stroke((-0.2, -0.52), (0.2, -0.52), 0.032, RAIL, body=False)]
        return [*legs, *rail]
    if figure.posture == "walk":
        belt = [Stroke((-0.26, -0.525), (0.26, -0.525), 0.022, TRACK, flat=True, body=False)]
        shift = (moment.time * 0.55 * side + figure.phase) % 0.13
        marks = [
            Stroke((x, -0.54), (x, -0.51), 0.016, INK, flat=True, outline=False, body=False)
            for x in (-0.26 + 0.13 * k + shift for k in range(4))
        ]
        legs = []
        for half in (0.5, 0.0):  # the far leg first
            swing = 36 * moment.cycle(1.1, half)
            knee = 8 + 42 * max(0.0, moment.cycle(1.1, half + 0.25))
            legs += _leg(moment, 0.0, side * swing, side * (swing - knee))
        return [*belt, *marks, *legs]
    if figure.posture == "jump":
        crouch = 1 - _stretch(figure, moment.time)
        open_, fold = 14 + 66 * crouch, 14 - 74 * crouch
        return _leg(moment, -0.06, -open_, -fold) + _leg(moment, 0.06, open_, fold)
    seat = [
        Stroke((-0.15 * side, 0.16), (-0.15 * side, -0.18), 0.034, SEAT, flat=True, body=False),
        Stroke((-0.17 * side, -0.17), (0.2 * side, -0.17), 0.034, SEAT, flat=True, body=False),
    ]
    sway = 4 * moment.cycle(0.5)
    return [
        *seat,
        *_leg(moment, 0.02, side * 84, side * (sway - 4)),
        *_leg(moment, -0.02, side * 76, side * (6 - sway)),
    ]


def _leg(moment: Moment, hip: float, thigh: float, shin: float) -> list[Stroke]:
    """A leg from its two angles (degrees, positive to the right of straight down)."""
    start = (hip, -0.06)
    knee = _step(start, thigh - 90, THIGH)
    foot = _step(knee, shin - 90, SHIN)
    return [
        Stroke(start, knee, 0.056, moment.sleeve),
        Stroke(knee, foot, 0.048, moment.sleeve),
        disc(foot, 0.058, BOOT),
    ]


def _torso(moment: Moment) -> list[Stroke]:
    return [
        Stroke((0.0, -0.04), (0.0, 0.18), 0.108, moment.suit),
        Stroke((-0.04, 0.2), (0.04, 0.2), 0.012, GLOVE, flat=True, outline=False),
    ]


def _head(moment: Moment) -> list[Stroke]:
    figure = moment.figure
    skin = SKINS[int(figure.phase * 997) % len(SKINS)]
    x, y = 0.0, 0.42
    if figure.face == "watch":  # the whole face turns towards the watched person, eyes wide, a lamp on the rim
        gx, gy = moment.gaze
        fx, fy = x + 0.05 * gx, y + 0.05 * gy
        found = [disc((x, y), 0.135, GLOVE), disc((fx, fy), 0.088, skin, outline=False)]
        for across in (-0.038, 0.038):
            ex, ey = fx + 0.035 * gx - across * gy, fy + 0.035 * gy + across * gx
            found.append(disc((ex, ey), 0.03, (250, 250, 250), outline=False))
            found.append(disc((ex + 0.012 * gx, ey + 0.012 * gy), 0.017, INK, outline=False))
        return found
    found = [disc((x, y), 0.135, GLOVE), disc((x, y), 0.1, skin, outline=False)]
    found += [disc((x + dx, y + 0.028), 0.017, INK, outline=False) for dx in (-0.04, 0.04)]
    if figure.face == "talk":
        wide = 0.5 + 0.5 * moment.cycle(3.3)
        found.append(disc((x, y - 0.035), 0.016 + 0.036 * wide, (120, 12, 26), outline=False))
        for angle in (-32, 0, 32):  # lines of speech, as in a comic
            base = angle if figure.side > 0 else 180 - angle
            near, far = _step((x, y - 0.02), base, 0.155), _step((x, y - 0.02), base, 0.185 + 0.06 * wide)
            found.append(Stroke(near, far, 0.014, (255, 255, 255), body=False))
    else:
        found.append(Stroke((x - 0.03, y - 0.045), (x + 0.03, y - 0.045), 0.007, INK, outline=False))
    return found


def _thing(moment: Moment) -> list[Stroke]:
    """What is in or at the hands, drawn before the arms."""
    figure, side = moment.figure, moment.figure.side
    if figure.hands == "computer":
        lines = [
            Stroke((-0.1, y), (-0.1 + width, y), 0.009, (12, 60, 120), flat=True, outline=False)
            for y, width in zip((0.15, 0.115, 0.08), _typed(moment), strict=True)
        ]
        return [
            Stroke((-0.15, 0.115), (0.15, 0.115), 0.085, (80, 226, 255), flat=True),
            *lines,
            Stroke((-0.17, 0.01), (0.17, 0.01), 0.035, (58, 60, 70), flat=True),
        ]
    if figure.hands == "carry" and figure.item == "striped box":
        bars = [Stroke((x, -0.035), (x, 0.145), 0.022, INK, flat=True, outline=False) for x in (-0.08, 0.0, 0.08)]
        return [Stroke((-0.13, 0.055), (0.13, 0.055), 0.1, (255, 196, 0), flat=True), *bars]
    if figure.hands == "carry":
        return [
            disc((0.0, 0.05), 0.13, (196, 150, 92)),
            Stroke((-0.09, 0.05), (0.09, 0.05), 0.024, (92, 58, 30), outline=False),
        ]
    if figure.hands == "touch":
        lit = _reach(moment) > 0.5
        return [
            Stroke((0.38 * side, 0.1), (0.38 * side, 0.34), 0.055, (176, 190, 210), flat=True, body=False),
            disc((0.38 * side, 0.22), 0.038, (40, 235, 80) if lit else (225, 30, 30), body=False),
        ]
    return []


def _typed(moment: Moment) -> tuple[float, float, float]:
    """Lengths of the three lines on the screen; the last one grows while the figure types."""
    grown = (moment.time * 1.4 + moment.figure.phase) % 1.0
    return 0.19, 0.14, 0.02 + 0.17 * grown


def _reach(moment: Moment) -> float:
    """0 drawn back … 1 finger on the pad."""
    return 0.5 + 0.5 * moment.cycle(1.2)


def _arms(moment: Moment) -> list[Stroke]:
    figure, side = moment.figure, moment.figure.side
    if figure.hands == "computer":
        return [
            stroke
            for arm, shift in ((-1, 0.0), (1, 0.5))
            for stroke in _arm_to(moment, arm, (arm * (0.07 + 0.02 * moment.cycle(2.4, shift)), 0.02), bend=1)
        ]
    if figure.hands == "carry":
        return [stroke for arm in (-1, 1) for stroke in _arm_to(moment, arm, (arm * 0.14, 0.04), bend=1)]
    if figure.hands == "touch":
        hand = (side * (0.24 + 0.07 * _reach(moment)), 0.22)
        return _loose_arm(moment, -side) + _arm_to(moment, side, hand, bend=1)
    if figure.hands == "wave":
        elbow = _step((side * 0.09, SHOULDER), 90 - side * 58, ELBOW)
        hand = _step(elbow, 90 - side * (34 + 36 * moment.cycle(1.9)), FOREARM + 0.03)
        return _loose_arm(moment, -side) + _arm(moment, side, elbow, hand, glove=0.058)
    return _loose_arm(moment, -1) + _loose_arm(moment, 1)


def _loose_arm(moment: Moment, arm: int) -> list[Stroke]:
    """An arm at nobody's service floats a little away from the body."""
    sway = 6 * moment.cycle(0.5, 0.25 * arm)
    elbow = _step((arm * 0.09, SHOULDER), -90 + arm * (40 + sway), ELBOW)
    return _arm(moment, arm, elbow, _step(elbow, -90 + arm * (16 - sway), FOREARM))


def _arm_to(moment: Moment, arm: int, hand: Point, *, bend: int) -> list[Stroke]:
    """An arm whose hand is at a given place; the elbow follows."""
    sx, sy = arm * 0.09, SHOULDER
    dx, dy = hand[0] - sx, hand[1] - sy
    far = (dx * dx + dy * dy) ** 0.5
    out = max(ELBOW**2 - (far / 2) ** 2, 0.0) ** 0.5
    mx, my = sx + dx / 2, sy + dy / 2
    normal = (-dy / far, dx / far) if arm < 0 else (dy / far, -dx / far)
    if normal[1] * bend > 0:
        normal = (-normal[0], -normal[1])
    return _arm(moment, arm, (mx + normal[0] * out, my + normal[1] * out), hand)


def _arm(moment: Moment, arm: int, elbow: Point, hand: Point, glove: float = 0.048) -> list[Stroke]:
    return [
        Stroke((arm * 0.09, SHOULDER), elbow, 0.044, moment.sleeve),
        Stroke(elbow, hand, 0.038, moment.sleeve),
        disc(hand, glove, GLOVE),
    ]


def _step(start: Point, angle: float, length: float) -> Point:
    return start[0] + length * cos(radians(angle)), start[1] + length * sin(radians(angle))
