"""Drawn scenes: no, one or two coloured shapes on many kinds of background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from tasks import COLOURS, SHAPES

SUPERSAMPLE = 3
MIN_CONTRAST = 110.0  # Euclidean RGB distance between a shape and what lies behind it
MAX_TILT = {"circle": 0.0, "square": 0.35, "triangle": 0.4, "star": 0.6, "cross": 0.3}

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Shape:
    """One shape; `x`, `y` (centre) and `radius` are fractions of the picture's side."""

    colour: str
    name: str
    x: float
    y: float
    radius: float

    @property
    def words(self) -> tuple[str, str]:
        """Colour and name, as `scene_answer` takes them."""
        return self.colour, self.name


def outline(name: str, tilt: float, stretch: float) -> NDArray[np.float64]:
    """The shape's corners, shape (n, 2), inside the unit circle, y pointing down."""
    if name == "circle":
        angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        points = np.stack([np.cos(angles), np.sin(angles)], 1)
    elif name == "square":
        points = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * 0.82
    elif name == "triangle":
        angles = np.pi / 6 + np.arange(3) * 2 * np.pi / 3
        points = np.stack([np.cos(angles), np.sin(angles)], 1)
    elif name == "star":
        angles = -np.pi / 2 + np.arange(10) * np.pi / 5
        points = (
            np.stack([np.cos(angles), np.sin(angles)], 1)
            * np.where(np.arange(10) % 2, 0.42, 1.0)[:, None]
        )
    else:
        arm = 0.32
        quarter = [(arm, -1), (arm, -arm), (1, -arm)]
        points = np.array([(x, y) for x, y in _turned(quarter)])
    points = points * (stretch, 1 / stretch)
    c, s = np.cos(tilt), np.sin(tilt)
    return np.asarray(points @ np.array([[c, s], [-s, c]]))


def _turned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    corners = []
    for _ in range(4):
        corners += points
        points = [(-y, x) for x, y in points]
    return corners


def background(side: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """A plain, graded or mottled surface, float RGB in 0..255, shape (side, side, 3)."""
    kind = rng.random()
    if kind < 0.25:
        base = np.full(3, rng.choice([255, 255, 240, 225, 128, 60, 0]))
    elif kind < 0.6:
        base = rng.uniform(150, 255, 3)
    else:
        base = rng.uniform(0, 255, 3)
    surface = np.broadcast_to(base, (side, side, 3)).astype(float)
    if rng.random() < 0.3:
        ramp = np.linspace(-1, 1, side)
        angle = rng.uniform(0, 2 * np.pi)
        slope = np.cos(angle) * ramp[None, :] + np.sin(angle) * ramp[:, None]
        surface = surface + slope[..., None] * rng.uniform(-30, 30, 3)
    if rng.random() < 0.2:
        coarse = rng.normal(0, rng.uniform(3, 18), (8, 8)).astype(np.float32)
        mottle = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
        surface = surface + np.asarray(mottle)[..., None]
    return np.clip(surface, 0, 255)


def _colour(name: str, rng: np.random.Generator) -> NDArray[np.float64]:
    jitter = rng.uniform(-22, 22, 3) if name not in ("black", "white") else rng.uniform(-12, 12)
    return np.asarray(np.clip(np.array(COLOURS[name]) + jitter, 0, 255))


def arrange(count: int, rng: np.random.Generator) -> list[tuple[float, float, float]]:
    """Centres and radii for `count` shapes, left to right, never overlapping in x."""
    if count < 2:
        radius = rng.uniform(0.15, 0.4)
        reach = radius
        return [(*rng.uniform(reach, 1 - reach, 2), radius)] * count
    while True:
        radii = rng.uniform(0.14, 0.24, 2)
        centres = rng.uniform(radii, 1 - radii, (2, 2))
        x = np.sort(centres[0])
        if radii[0] <= x[0] and x[1] <= 1 - radii[1] and x[1] - x[0] > radii.sum() + 0.02:
            y = [rng.uniform(r, 1 - r) for r in radii]
            return [(x[i], y[i], radii[i]) for i in range(2)]


def draw(
    rng: np.random.Generator, count: int | None = None, side: int = 96, ease: float = 0.0
) -> tuple[Pixels, list[Shape]]:
    """Draw one scene of `side` x `side` pixels; its shapes come listed from left to right.

    Without `count` a scene has one shape (half of them), two, or, rarely, none. `ease` is the
    chance that it is an easy one to begin learning with: one large upright shape on a plain
    background.
    """
    easy = rng.random() < ease
    if easy:
        count = 1
    elif count is None:
        count = int(rng.choice([0, 1, 2], p=[0.06, 0.5, 0.44]))
    surface = background(side, rng)
    if easy:
        surface = np.broadcast_to(surface.mean((0, 1)), surface.shape)
    shapes = []
    for x, y, radius in arrange(count, rng):
        if easy:
            radius = max(radius, 0.25)
        behind = surface[int(y * side), int(x * side)]
        while True:
            colour = str(rng.choice(list(COLOURS)))
            paint = _colour(colour, rng)
            if np.linalg.norm(paint - behind) > MIN_CONTRAST:
                break
        name = str(rng.choice(SHAPES))
        tilt = rng.uniform(-1, 1) * MAX_TILT[name] * (not easy)
        points = outline(name, tilt, rng.uniform(0.96, 1.04)) * radius + (x, y)
        surface = _cover(surface, points, paint)
        if rng.random() < 0.25:
            surface = _cover(surface, points, paint * rng.uniform(0.3, 0.8), line=0.012)
        shapes.append(Shape(colour, name, x, y, radius))
    if rng.random() < 0.6 and not easy:
        surface = surface + rng.normal(0, rng.uniform(1, 12), surface.shape)
    return np.clip(surface * rng.uniform(0.88, 1.0), 0, 255).astype(np.uint8), shapes


def _cover(
    surface: NDArray[np.float64],
    points: NDArray[np.float64],
    paint: NDArray[np.float64],
    line: float = 0.0,
) -> NDArray[np.float64]:
    """Paint a polygon, or with `line` (a fraction of the side) only its border, smooth-edged."""
    side = surface.shape[0]
    big = side * SUPERSAMPLE
    mask = Image.new("L", (big, big))
    fill, width = (None, max(1, round(line * big))) if line else (255, 1)
    ImageDraw.Draw(mask).polygon([tuple(p) for p in points * big], fill, 255, width=width)
    cover = np.asarray(mask.resize((side, side), Image.Resampling.BOX), float)[..., None] / 255
    return surface * (1 - cover) + paint * cover
