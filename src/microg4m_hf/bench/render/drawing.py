"""Draw shapes as SVG for pages and as PNG for papers, without a plotting library."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field

from ...visible import escape_html as escape

INK, QUIET, GRID, PAPER = "#1b1f24", "#57606a", "#d5dbe1", "#ffffff"
# Distinguishable by color-blind readers; contrast of at least 4.5:1 on white.
COLORS = ("#0b5fa5", "#a84300", "#00704a", "#7a3e9d", "#8a6100", "#a3195b", "#00697a", "#5b5b5b")
DASHES = ((), (6, 3), (2, 2), (8, 3, 2, 3))


@dataclass(frozen=True)
class Rect:
    """A filled rectangle; browsers show ``hint`` when the pointer is over it."""

    x: float
    y: float
    width: float
    height: float
    fill: str
    hint: str = ""


@dataclass(frozen=True)
class Line:
    """A polyline; ``dash`` alternates lengths of dashes and gaps."""

    points: Sequence[tuple[float, float]]
    stroke: str = INK
    width: float = 1
    dash: Sequence[float] = ()


@dataclass(frozen=True)
class Dot:
    """A circle; browsers show ``hint`` when the pointer is over it."""

    x: float
    y: float
    radius: float
    fill: str
    stroke: str = INK
    hint: str = ""


@dataclass(frozen=True)
class Text:
    """One line of text; ``y`` is its baseline."""

    x: float
    y: float
    text: str
    size: float = 11
    anchor: str = "start"  # "start", "middle" or "end"
    fill: str = INK


Shape = Rect | Line | Dot | Text


@dataclass
class Drawing:
    """Shapes on a white background; screen readers read ``title`` and ``description``."""

    title: str
    description: str
    width: float
    height: float
    shapes: list[Shape] = field(default_factory=list)

    def add(self, *shapes: Shape) -> None:
        """Draw shapes on top of the others."""
        self.shapes.extend(shapes)

    def svg(self, name: str = "") -> str:
        """Return the drawing as SVG; ``name`` makes its ids unique on a page.

        >>> drawing = Drawing("AP", "two bars", 10, 10)
        >>> drawing.add(Rect(0, 0, 5, 5, INK))
        >>> drawing.svg("a").startswith('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10"')
        True
        """
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:g} {self.height:g}" role="img" '
            f'aria-labelledby="{name}t {name}d" font-family="system-ui, sans-serif">'
            f'<title id="{name}t">{escape(self.title)}</title><desc id="{name}d">{escape(self.description)}</desc>'
            f'<rect width="{self.width:g}" height="{self.height:g}" fill="{PAPER}"/>'
        )
        return head + "".join(map(_svg, self.shapes)) + "</svg>"

    def png(self, scale: float = 3) -> bytes:
        """Return the drawing as PNG, with ``scale`` pixels per unit."""
        from PIL import Image, ImageDraw, ImageFont

        image = Image.new("RGB", (round(self.width * scale), round(self.height * scale)), PAPER)
        pen = ImageDraw.Draw(image)
        for shape in self.shapes:
            if isinstance(shape, Rect):
                left, top = shape.x * scale, shape.y * scale
                right, bottom = left + shape.width * scale, top + shape.height * scale
                if right > left and bottom > top:
                    pen.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), fill=shape.fill)
            elif isinstance(shape, Line):
                for piece in _dashed(shape):
                    pen.line(
                        [(x * scale, y * scale) for x, y in piece], shape.stroke, max(1, round(shape.width * scale))
                    )
            elif isinstance(shape, Dot):
                box = [scale * value for value in (shape.x - shape.radius, shape.y - shape.radius)]
                box += [scale * value for value in (shape.x + shape.radius, shape.y + shape.radius)]
                pen.ellipse(box, fill=shape.fill, outline=shape.stroke, width=max(1, round(scale)))
            else:
                anchor = {"start": "ls", "middle": "ms", "end": "rs"}[shape.anchor]
                font = ImageFont.load_default(shape.size * scale)
                pen.text((shape.x * scale, shape.y * scale), shape.text, shape.fill, font, anchor)
        buffer = io.BytesIO()
        image.save(buffer, "PNG", optimize=True)
        return buffer.getvalue()


def _svg(shape: Shape) -> str:
    if isinstance(shape, Rect):
        place = f'x="{shape.x:.1f}" y="{shape.y:.1f}" width="{max(shape.width, 0):.1f}" height="{shape.height:.1f}"'
        return _hinted("rect", f'{place} fill="{shape.fill}"', shape.hint)
    if isinstance(shape, Line):
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in shape.points)
        dash = f' stroke-dasharray="{" ".join(f"{part:g}" for part in shape.dash)}"' if shape.dash else ""
        return f'<polyline points="{points}" fill="none" stroke="{shape.stroke}" stroke-width="{shape.width:g}"{dash}/>'
    if isinstance(shape, Dot):
        place = f'cx="{shape.x:.1f}" cy="{shape.y:.1f}" r="{shape.radius:g}"'
        return _hinted("circle", f'{place} fill="{shape.fill}" stroke="{shape.stroke}"', shape.hint)
    place = f'x="{shape.x:.1f}" y="{shape.y:.1f}" font-size="{shape.size:g}"'
    return f'<text {place} text-anchor="{shape.anchor}" fill="{shape.fill}">{escape(shape.text)}</text>'


def _hinted(tag: str, attributes: str, hint: str) -> str:
    return f"<{tag} {attributes}><title>{escape(hint)}</title></{tag}>" if hint else f"<{tag} {attributes}/>"


def _dashed(line: Line) -> list[list[tuple[float, float]]]:
    """Return the pieces of a line that are drawn: all of it, or its dashes."""
    if not line.dash:
        return [list(line.points)]
    pieces: list[list[tuple[float, float]]] = []
    left, part = line.dash[0], 0
    for (x, y), (to_x, to_y) in zip(line.points, line.points[1:], strict=False):
        length = ((to_x - x) ** 2 + (to_y - y) ** 2) ** 0.5
        done = 0.0
        while done < length:
            step = min(left, length - done)
            ends = [(x + (to_x - x) * at / length, y + (to_y - y) * at / length) for at in (done, done + step)]
            if part % 2 == 0:
                pieces.append(ends)
            done, left = done + step, left - step
            if left <= 1e-9:
                part += 1
                left = line.dash[part % len(line.dash)]
    return pieces
