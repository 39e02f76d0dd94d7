"""Draw an astronaut at one moment, as strokes in its own coordinates: x to the right, y to the head, height 1.

The limbs, their motion and the item in the hands show the action; the color of the shirt never does.
"""

from __future__ import annotations

from math import cos, pi, radians, sin
from typing import NamedTuple

from .drawing import INK, Color, Point, Stroke, disc
from .world import Astronaut

# Shirts are muted and the rest of the body is gray: bright colors are for the items of the actions.
SHIRT_COLORS: dict[str, Color] = {
    "red": (176, 70, 66),
    "green": (92, 142, 92),
    "blue": (78, 104, 166),
    "purple": (126, 90, 152),
    "brown": (122, 84, 56),
    "black": (46, 48, 54),
}
SKINS: tuple[Color, ...] = ((241, 206, 178), (208, 160, 122), (142, 100, 74))
HELMET, GLOVE, ARM = (166, 172, 182), (150, 154, 162), (128, 132, 142)
TROUSER, BOOT, STRAP = (92, 96, 108), (60, 62, 70), (196, 178, 140)
YELLOW, TURQUOISE, PINK, VIOLET = (255, 222, 0), (0, 214, 160), (255, 50, 168), (132, 44, 232)
ORANGE, SKY, NAVY, GREEN = (255, 112, 0), (50, 206, 255), (0, 24, 230), (30, 255, 40)
RED, WHITE = (255, 16, 16), (255, 255, 255)

SHOULDER, ELBOW, FOREARM, THIGH, SHIN = 0.2, 0.15, 0.16, 0.2, 0.2


class Moment(NamedTuple):
    """An astronaut at one moment."""

    astronaut: Astronaut
    time: float  # seconds
    gaze: Point  # unit vector towards the watched person, in the astronaut's coordinates

    def cycle(self, hertz: float, shift: float = 0.0) -> float:
        """Return the sine of a cycle of this astronaut, from -1 to 1."""
        return sin(2 * pi * (hertz * self.time + self.astronaut.phase + shift))

    @property
    def shirt(self) -> Color:
        return SHIRT_COLORS[self.astronaut.shirt]


def draw_astronaut(moment: Moment) -> list[Stroke]:
    """Return all strokes of an astronaut, back to front."""
    below = [*_legs(moment), Stroke((0.0, -0.04), (0.0, 0.18), 0.108, moment.shirt), *_head(moment)]
    if moment.astronaut.hands == "carry":  # hugged: the arms go behind it
        return [*below, *_arms(moment), *_item(moment)]
    return [*below, *_item(moment), *_arms(moment)]


def jump_height(astronaut: Astronaut, time: float) -> float:
    """Return how far a jump moves the whole astronaut along its own axis, in astronaut heights."""
    return 0.06 * _stretch(astronaut, time) if astronaut.posture == "jump" else 0.0


def _stretch(astronaut: Astronaut, time: float) -> float:
    """Return 0 (crouched) to 1 (stretched) for a jump."""
    return 0.5 + 0.5 * sin(2 * pi * (1.0 * time + astronaut.phase))


def _legs(moment: Moment) -> list[Stroke]:
    """Return legs, boots and the item that they stand, walk, jump or sit on."""
    astronaut, side = moment.astronaut, moment.astronaut.side
    if astronaut.posture in ("stand", "idle", "sleep"):
        sway = 2 * moment.cycle(0.4)
        legs = _leg(-0.06, -5 + sway, -5 + sway) + _leg(0.06, 5 + sway, 5 + sway)
        if astronaut.posture == "stand":
            return [*legs, Stroke((-0.2, -0.46), (0.2, -0.46), 0.045, YELLOW, body=False)]
        levels = (-0.14, -0.3) if astronaut.posture == "sleep" else ()
        return [*legs, *(Stroke((-0.13, y), (0.13, y), 0.026, STRAP, flat=True) for y in levels)]
    if astronaut.posture == "walk":
        belt = Stroke((-0.24, -0.48), (0.24, -0.48), 0.045, TURQUOISE, flat=True, body=False)
        shift = (moment.time * 0.55 * side + astronaut.phase) % 0.12
        marks = [
            Stroke((x, -0.52), (x, -0.44), 0.02, INK, flat=True, outline=False, body=False)
            for x in (-0.24 + 0.12 * k + shift for k in range(4))
        ]
        legs = []
        for half in (0.5, 0.0):  # the far leg first
            swing = 36 * moment.cycle(1.1, half)
            knee = 8 + 42 * max(0.0, moment.cycle(1.1, half + 0.25))
            legs += _leg(0.0, side * swing, side * (swing - knee))
        return [*legs, belt, *marks]
    if astronaut.posture == "jump":
        crouch = 1 - _stretch(astronaut, moment.time)
        open_, fold = 14 + 66 * crouch, 14 - 74 * crouch
        level = -0.42 - jump_height(astronaut, moment.time)  # the trampoline does not move
        mat = Stroke((-0.22, level), (0.22, level), 0.045, PINK, flat=True, body=False)
        return [mat, *_leg(-0.06, -open_, -fold), *_leg(0.06, open_, fold)]
    seat = [
        Stroke((-0.15 * side, 0.16), (-0.15 * side, -0.2), 0.045, VIOLET, flat=True, body=False),
        Stroke((-0.17 * side, -0.19), (0.22 * side, -0.19), 0.05, VIOLET, flat=True, body=False),
    ]
    sway = 4 * moment.cycle(0.5)
    far, near = _leg(0.02, side * 84, side * (sway - 4)), _leg(-0.02, side * 76, side * (6 - sway))
    return [*far, *near, *seat]


def _leg(hip: float, thigh: float, shin: float) -> list[Stroke]:
    """Return a leg from its two angles (degrees, positive to the right of straight down)."""
    start = (hip, -0.06)
    knee = _offset(start, thigh - 90, THIGH)
    foot = _offset(knee, shin - 90, SHIN)
    return [Stroke(start, knee, 0.056, TROUSER), Stroke(knee, foot, 0.048, TROUSER), disc(foot, 0.058, BOOT)]


def _head(moment: Moment) -> list[Stroke]:
    astronaut = moment.astronaut
    skin = SKINS[int(astronaut.phase * 997) % len(SKINS)]
    x, y = 0.0, 0.42
    if astronaut.face == "watch":  # the face turns towards the watched person, binoculars before the eyes
        gx, gy = moment.gaze
        fx, fy = x + 0.04 * gx, y + 0.04 * gy
        found = [disc((x, y), 0.135, HELMET), disc((fx, fy), 0.092, skin, outline=False)]
        for across in (-0.048, 0.048):
            ex, ey = fx - across * gy, fy + across * gx
            found.append(Stroke((ex, ey), (ex + 0.11 * gx, ey + 0.11 * gy), 0.046, NAVY, flat=True, body=False))
        return found
    found = [disc((x, y), 0.135, HELMET), disc((x, y), 0.1, skin, outline=False)]
    eyes = [disc((x + dx, y + 0.028), 0.017, INK, outline=False) for dx in (-0.04, 0.04)]
    if astronaut.face != "talk":
        return [*found, *eyes, Stroke((x - 0.03, y - 0.045), (x + 0.03, y - 0.045), 0.007, INK, outline=False)]
    wide = 0.5 + 0.5 * moment.cycle(3.3)
    # The lamp ring of a talking helmet is lit, and words come out as in a comic.
    found = [disc((x, y), 0.142, WHITE), disc((x, y), 0.092, skin, outline=False)]
    mouth = disc((x, y - 0.035), 0.016 + 0.036 * wide, (120, 12, 26), outline=False)
    bx, by = 0.17 * astronaut.side, y + 0.06
    bubble = Stroke((bx - 0.05, by), (bx + 0.05, by), 0.072 + 0.016 * wide, WHITE, body=False)
    dots = [disc((bx + dx, by), 0.02, INK, outline=False, body=False) for dx in (-0.065, 0.0, 0.065)]
    return [*found, *eyes, mouth, bubble, *dots]


def _item(moment: Moment) -> list[Stroke]:
    """Return the item in or near the hands."""
    astronaut, side = moment.astronaut, moment.astronaut.side
    if astronaut.hands == "computer":
        grown = (moment.time * 1.4 + astronaut.phase) % 1.0  # the last line grows while the astronaut types
        lines = [
            Stroke((-0.1, y), (-0.1 + width, y), 0.009, (12, 60, 120), flat=True, outline=False)
            for y, width in ((0.15, 0.19), (0.115, 0.14), (0.08, 0.02 + 0.17 * grown))
        ]
        return [
            Stroke((-0.16, 0.12), (0.16, 0.12), 0.095, SKY, flat=True),
            *lines,
            Stroke((-0.17, 0.01), (0.17, 0.01), 0.035, (58, 60, 70), flat=True),
        ]
    if astronaut.hands == "carry" and astronaut.item == "striped box":
        bars = [Stroke((x, -0.065), (x, 0.145), 0.02, INK, flat=True, outline=False) for x in (-0.07, 0.07)]
        return [Stroke((-0.15, 0.04), (0.15, 0.04), 0.115, ORANGE, flat=True), *bars]
    if astronaut.hands == "carry":
        return [disc((0.0, 0.04), 0.145, ORANGE), disc((0.0, 0.04), 0.04, INK, outline=False)]
    if astronaut.hands == "touch":
        lamp = 0.09 + 0.015 * (_reach(moment) > 0.5)  # it swells under the finger
        return [
            Stroke((0.3 * side, 0.02), (0.3 * side, 0.3), 0.115, INK, flat=True, body=False),
            disc((0.3 * side, 0.16), lamp, RED, body=False),
        ]
    return []


def _reach(moment: Moment) -> float:
    """Return 0 (hand drawn back) to 1 (finger on the pad)."""
    return 0.5 + 0.5 * moment.cycle(1.2)


def _arms(moment: Moment) -> list[Stroke]:
    astronaut, side = moment.astronaut, moment.astronaut.side
    if astronaut.hands == "computer":
        return [
            stroke
            for arm, shift in ((-1, 0.0), (1, 0.5))
            for stroke in _arm_to(moment, arm, (arm * (0.07 + 0.02 * moment.cycle(2.4, shift)), 0.02))
        ]
    if astronaut.hands == "carry":
        return [stroke for arm in (-1, 1) for stroke in _arm_to(moment, arm, (arm * 0.16, 0.02))]
    if astronaut.hands == "touch":
        hand = (side * (0.14 + 0.07 * _reach(moment)), 0.1)
        return _floating_arm(moment, -side) + _arm_to(moment, side, hand)
    if astronaut.hands == "wave":
        elbow = _offset((side * 0.09, SHOULDER), 90 - side * 58, ELBOW)
        hand = _offset(elbow, 90 - side * (34 + 36 * moment.cycle(1.9)), FOREARM + 0.03)
        palm = [disc(hand, 0.09, GREEN)]
        return _floating_arm(moment, -side) + _arm(moment, side, elbow, hand) + palm
    return _floating_arm(moment, -1) + _floating_arm(moment, 1)


def _floating_arm(moment: Moment, arm: int) -> list[Stroke]:
    """Return a free arm, which floats a little away from the body."""
    sway = 6 * moment.cycle(0.5, 0.25 * arm)
    elbow = _offset((arm * 0.09, SHOULDER), -90 + arm * (40 + sway), ELBOW)
    return _arm(moment, arm, elbow, _offset(elbow, -90 + arm * (16 - sway), FOREARM))


def _arm_to(moment: Moment, arm: int, hand: Point) -> list[Stroke]:
    """Return an arm whose hand is at a given point."""
    sx, sy = arm * 0.09, SHOULDER
    dx, dy = hand[0] - sx, hand[1] - sy
    far = (dx * dx + dy * dy) ** 0.5
    out = max(ELBOW**2 - (far / 2) ** 2, 0.0) ** 0.5
    mx, my = sx + dx / 2, sy + dy / 2
    normal = (-dy / far, dx / far) if arm < 0 else (dy / far, -dx / far)
    if normal[1] > 0:
        normal = (-normal[0], -normal[1])
    return _arm(moment, arm, (mx + normal[0] * out, my + normal[1] * out), hand)


def _arm(moment: Moment, arm: int, elbow: Point, hand: Point) -> list[Stroke]:
    return [
        Stroke((arm * 0.09, SHOULDER), elbow, 0.046, moment.shirt),
        Stroke(elbow, hand, 0.038, ARM),
        disc(hand, 0.048, GLOVE),
    ]


def _offset(start: Point, angle: float, length: float) -> Point:
    return start[0] + length * cos(radians(angle)), start[1] + length * sin(radians(angle))
