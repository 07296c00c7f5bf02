"""Seed and tone -> one linear-light texture atlas: face, neck, ears, hands, eyes, mouth, cloth.

Every patch is painted as a function of rest coordinates in centimetres, so features stay on the
mesh. Fine detail (pores, freckles, strands, weave) gives corner detectors corners to track.
The fourth channel is gloss. Crevice darkening (ambient occlusion) is painted in.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy.interpolate import PchipInterpolator

from .body import FINGERS, HAND_BOX
from .head import (
    BOTTOM_Y,
    CROWN_Y,
    EYE_HALF,
    EYE_X,
    MOUTH_HALF,
    MOUTH_Y,
    hair_mask,
    mouth_shape,
    surface,
)
from .looks import Looks, beard_mask, palette, strands
from .raster import Array
from .surfaces import bump, noise, smooth_step

# sRGB: skin, lips, hair
TONES = {
    "light": ((228, 183, 156), (190, 104, 98), (92, 62, 40)),
    "medium": ((198, 149, 120), (158, 82, 74), (44, 31, 25)),
    "dark": ((126, 84, 60), (108, 58, 52), (24, 19, 18)),
}
ATLAS_SHAPE = (1024, 2048)
# patch name -> x, y, width, height in the atlas
PATCHES = {
    "head": (0, 0, 1024, 1024),
    "cloth": (1024, 0, 512, 512),
    "skin": (1024, 512, 512, 512),
    "hand": (1536, 0, 512, 512),
    "eye": (1536, 512, 256, 256),
    "mouth": (1792, 512, 128, 128),
    "teeth": (1920, 512, 128, 128),
    "tongue": (1792, 640, 128, 128),
    "ear": (1536, 768, 256, 256),
    "locks": (1792, 768, 256, 256),  # these two are empty unless the looks have them
    "frame": (1920, 640, 128, 128),
}


def linear(rgb: tuple[float, ...] | Array) -> Array:
    """Gamma-coded 0..255 to linear light 0..1 (gamma 2.2), float32."""
    return np.power(np.asarray(rgb, np.float32) / 255, 2.2)


def _mix(image: Array, colour: Array, amount: Array) -> None:
    """Blend a colour into (H, W, 3) in place."""
    image += (colour - image) * amount[..., None]


def _skin(rng: np.random.Generator, shape: tuple[int, int], tone: str, cell_px: float) -> Array:
    """(H, W, 3) skin with blotches, pores and a few freckles."""
    base = linear(TONES[tone][0])
    blotch = noise(rng, shape, 12 * cell_px, 3)
    pores = noise(rng, shape, 0.55 * cell_px, 2)
    image = base * (1 + 0.09 * blotch + 0.12 * pores)[..., None]
    redness = noise(rng, shape, 20 * cell_px, 2)[..., None]
    return image * (1 + redness * np.array([0.03, -0.05, -0.05], np.float32))


def _spots(rng: np.random.Generator, shape: tuple[int, int], count: int, radius_px: float) -> Array:
    """(H, W) in [0, 1]: soft round spots of differing size and strength."""
    image = np.zeros(shape, np.float32)
    for x, y, size, strength in rng.uniform(0, 1, (count, 4)):
        centre = (round(16 * x * shape[1]), round(16 * y * shape[0]))
        radius = round(16 * radius_px * (0.5 + size))
        cv2.circle(image, centre, radius, 0.35 + 0.65 * strength, -1, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(image, (0, 0), 0.35 * radius_px)


def _brows(image: Array, x: Array, y: Array, hair: Array, rng: np.random.Generator) -> Array:
    """Paint the brows; returns their mask."""
    side = np.abs(x)
    curve = PchipInterpolator([1.1, 2.0, 3.6, 4.4, 5.3], [2.06, 2.2, 2.5, 2.36, 1.66])
    centre = curve(np.clip(side, 1.1, 5.3)).astype(np.float32)
    half = np.interp(side, [1.0, 1.5, 3.5, 5.4], [0.2, 0.36, 0.32, 0.08])
    ragged = noise(rng, x.shape, 7, 2)
    inside = smooth_step(1.15, 0.55, np.abs(y - centre) / half + 0.35 * ragged)
    inside *= smooth_step(0.95, 1.35, side) * smooth_step(5.5, 5.0, side) * (np.abs(x) < 6)
    _mix(image, hair * 0.8, 0.92 * inside)
    return inside


def _lids(image: Array, x: Array, y: Array, hair: Array, rim: Array) -> None:
    u = (np.abs(x) - EYE_X) / EYE_HALF
    shape = np.sqrt(np.clip(1.1 - u * u, 0, 1))
    lid = smooth_step(-0.2, 0.1, y) * smooth_step(1.3 * shape + 0.01, 0.75 * shape, y) * (shape > 0)
    image *= 1 - 0.22 * lid[..., None] * np.array([0.7, 1.0, 0.95], np.float32)
    crease = bump(y - 1.0 * shape, 0.13) * (shape > 0.25)
    image *= 1 - 0.45 * crease[..., None]
    bag = bump(y + 1.05 * shape, 0.28) * (shape > 0.3)
    image *= 1 - 0.12 * bag[..., None]
    _mix(image, rim, 0.5 * bump(y, 0.06) * (np.abs(u) < 1))
    lash = smooth_step(0.17, 0.1, y) * (y >= 0) * (np.abs(u) < 1.12)
    lower = smooth_step(0.09, 0.05, -y + 0.02) * (y < -0.03) * (np.abs(u) < 0.95)
    _mix(image, hair * 0.3, np.clip(0.97 * lash + 0.4 * lower, 0, 1))


def _lips(image: Array, x: Array, y: Array, lips: Array, rng: np.random.Generator) -> Array:
    """Paint the lips; returns their mask."""
    m, shape = y - MOUTH_Y, mouth_shape(x)
    bow = 0.72 * shape * (1 + 0.18 * bump(np.abs(x) - 0.5, 0.35) - 0.12 * bump(x, 0.25))
    upper = smooth_step(1.12, 0.92, np.abs(m) / np.maximum(bow, 1e-3)) * (m >= 0)
    lower = smooth_step(1.12, 0.9, np.abs(m) / np.maximum(0.98 * shape, 1e-3)) * (m < 0)
    mask = (upper + lower) * (shape > 0.02)
    wrinkles = 1 + 0.2 * noise(rng, x.shape, 5, 1)
    _mix(image, lips * (1 - 0.22 * upper)[..., None] * wrinkles[..., None], 0.85 * mask)
    line = bump(m, 0.09) * (np.abs(x) < MOUTH_HALF + 0.05)
    image *= 1 - 0.72 * line[..., None]
    corner = bump(np.abs(x) - 2.5, 0.22) * bump(m, 0.2)
    image *= 1 - 0.5 * corner[..., None]
    return mask


def _crevices(image: Array, x: Array, y: Array) -> None:
    """Ambient occlusion of nose, sockets, lip fold and jaw, and the nostrils."""
    side, m = np.abs(x), y - MOUTH_Y
    dark = 0.30 * bump(side - 1.55, 0.6) * bump(y - 0.6, 0.95)
    dark += 0.20 * bump(side - 2.9, 1.5) * bump(y - 0.95, 0.6)
    dark += 0.36 * bump(np.hypot(side - 1.75, (y + 4.05) / 1.4), 0.26)
    dark += 0.34 * bump(y + 4.85, 0.3) * bump(x, 1.3)
    dark += 0.28 * bump(m + 1.32, 0.28) * bump(x, 1.4) + 0.1 * bump(x, 0.22) * bump(m - 1.2, 0.5)
    fold = side - np.interp(y, [-7.5, -4.0], [3.5, 1.95])
    dark += 0.2 * bump(fold, 0.22) * smooth_step(-7.6, -6.6, y) * smooth_step(-3.8, -4.6, y)
    dark += 0.4 * smooth_step(-10.9, -11.7, y)
    image *= np.clip(1 - dark, 0.1, 1)[..., None]
    nostril = smooth_step(1.15, 0.7, np.hypot((side - 0.72) / 0.42, (y + 4.62) / 0.2))
    _mix(image, np.array([0.025, 0.01, 0.008], np.float32), 0.92 * nostril)


def _flush(image: Array, x: Array, y: Array) -> None:
    """Redder cheeks, nose and chin; yellower forehead."""
    side = np.abs(x)
    red = bump(side - 4.2, 1.7) * bump(y + 3.0, 1.6) + 0.8 * bump(x, 1.3) * bump(y + 3.8, 0.9)
    red += 0.4 * bump(x, 1.5) * bump(y + 10, 1.0)
    image *= 1 + red[..., None] * np.array([0.06, -0.12, -0.1], np.float32)
    image *= 1 + bump(x, 4)[..., None] * bump(y - 4, 2)[..., None] * np.array([0.05, 0.05, 0.0])


def _head(rng: np.random.Generator, tone: str, looks: Looks) -> Array:
    _, _, width, height = PATCHES["head"]
    s = (np.arange(width) + 0.5) / width * 2 - 1
    rows = CROWN_Y + (np.arange(height) + 0.5) / height * (BOTTOM_Y - CROWN_Y)
    grid_s, y = np.meshgrid(s, rows)
    x, z, angle = surface(grid_s, y)
    x = np.where(z > 0, x, 99.0).astype(np.float32)  # features are on the front only
    y, angle = y.astype(np.float32), angle.astype(np.float32)
    _, lips, hair = (linear(c) for c in palette(TONES[tone], looks))
    image = _skin(rng, x.shape, tone, 6)
    _flush(image, x, y)
    freckles = _spots(rng, x.shape, 1100, 1.9)
    where = bump(np.abs(x) - 3.0, 2.6) * bump(y + 2.4, 2.2) + 0.25 * bump(y - 3.5, 2.5)
    image *= 1 - 0.5 * (freckles * np.clip(where, 0, 1))[..., None] * np.array([0.6, 0.9, 1.0])
    moles = _spots(rng, x.shape, 38, 2.6)
    image *= 1 - 0.6 * moles[..., None]
    _crevices(image, x, y)
    mouth = _lips(image, x, y, lips, rng)
    _lids(image, x, y, hair, lips)
    brows = _brows(image, x, y, hair, rng)
    gloss = 0.5 + 0.5 * bump(x, 2.2) * smooth_step(-5, 1, y) + 0.9 * mouth
    gloss *= (1 - 0.8 * brows) * (1 - bump(y - MOUTH_Y, 0.2) * bump(x, 2.4))
    gloss *= 1 - bump(y, 0.3) * (np.abs(np.abs(x) - EYE_X) < 1.8)
    if looks.beard:
        beard = looks.beard * beard_mask(x, y, rng)
        _mix(image, hair * (1 + 0.4 * noise(rng, x.shape, 4, 2))[..., None], 0.9 * beard)
        gloss *= 1 - 0.7 * beard
    inside = _hair(image, gloss, angle, y, hair, rng)
    return np.dstack([image, gloss, inside])


def _hair(
    image: Array, gloss: Array, angle: Array, y: Array, hair: Array, rng: np.random.Generator
) -> Array:
    """Paint the hair in place; returns its mask."""
    ragged = noise(rng, y.shape, 9, 2) * 0.45 + noise(rng, y.shape, 60, 2) * 0.35
    inside = smooth_step(-0.15, 0.55, hair_mask(angle, y) + ragged)
    small = rng.uniform(-1, 1, (y.shape[0] // 24, y.shape[1])).astype(np.float32)
    strands = cv2.resize(small, y.shape[::-1], interpolation=cv2.INTER_CUBIC)
    strands = strands + noise(rng, y.shape, 26, 2)
    shade = np.clip(1 + 0.5 * strands, 0.25, 2.2)
    _mix(image, hair * shade[..., None], inside)
    gloss += (0.35 * np.clip(shade, 0, 2) - gloss) * inside
    return inside


def _eye(rng: np.random.Generator, iris_rgb: tuple[int, int, int]) -> Array:
    """Iris in the middle; 4.4 cm across the patch."""
    size = PATCHES["eye"][2]
    axis = ((np.arange(size) + 0.5) / size - 0.5) * 4.4
    x, y = np.meshgrid(axis, -axis)
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    image = np.ones((size, size, 3), np.float32) * linear((226, 220, 214))
    red = smooth_step(0.7, 1.7, np.abs(x)) + 0.25 * np.abs(noise(rng, x.shape, 24, 3))
    image *= 1 - np.clip(red, 0, 1)[..., None] * np.array([0.08, 0.4, 0.4], np.float32)
    rays = noise(rng, (size, size), 8, 2)
    spokes = np.interp(angle, np.linspace(-np.pi, np.pi, 91), rng.uniform(-1, 1, 91))
    iris = linear(iris_rgb) * (1 + 0.35 * spokes + 0.25 * rays)[..., None]
    iris = iris * (1.5 - 1.1 * smooth_step(0.3, 0.62, radius))[..., None]
    _mix(image, iris.astype(np.float32), smooth_step(0.64, 0.59, radius))
    _mix(image, np.full(3, 0.004, np.float32), smooth_step(0.28, 0.23, radius))
    return np.dstack([image, np.full_like(x, 1.0)])


def _cloth(rng: np.random.Generator, looks: Looks) -> Array:
    """A knitted jumper: weave, ribs and broad stripes, no skin hues."""
    size = PATCHES["cloth"][2]
    y, x = np.mgrid[:size, :size].astype(np.float32)
    knit = 0.5 + 0.5 * np.sin(x * 2 * np.pi / 6) * np.sin(y * 2 * np.pi / 5 + np.abs(x % 6 - 3))
    stripe = smooth_step(0.1, 0.25, np.sin(y * 2 * np.pi / 92 + 1.5))[..., None]
    broad, narrow = (linear(rgb) for rgb in looks.cloth_rgb)
    colour = broad * (1 - stripe) + narrow * stripe
    folds = 1 + 0.16 * noise(rng, x.shape, 130, 3)
    image = colour * ((0.62 + 0.5 * knit) * folds)[..., None]
    return np.dstack([image, np.full_like(x, 0.05)])


def _hand(rng: np.random.Generator, tone: str) -> Array:
    size = PATCHES["hand"][2]
    image = _skin(rng, (size, size), tone, 8)
    image *= np.array([1.03, 0.95, 0.94], np.float32)
    _palm(image)
    return np.dstack([image, np.full((size, size), 0.35)])


def _palm(image: Array) -> None:
    """Creases of the palm and of the finger joints."""
    lines = [
        [(-2.9, 6.4), (-1.3, 6.4), (0.4, 6.8), (1.6, 7.8)],
        [(3.2, 6.4), (1.2, 5.9), (-0.8, 5.2), (-2.4, 4.3)],
        [(3.2, 6.3), (1.7, 5.5), (0.8, 4.2), (0.5, 2.5), (0.9, 0.9)],
        [(-1.9, 0.3), (0, 0.1), (1.9, 0.3)],
    ]
    for x0, y0, x1, y1, radius, _ in FINGERS:
        for share in (0.04, 0.38, 0.7):
            x, y = x0 + share * (x1 - x0), y0 + share * (y1 - y0)
            lines.append([(x - radius, y), (x, y - 0.12), (x + radius, y)])
    mask = np.zeros(image.shape[:2], np.float32)
    left, top, width, height = HAND_BOX
    for line in lines:
        points = (np.array(line) - (left, top)) / (width, -height) * image.shape[0]
        cv2.polylines(mask, [np.round(16 * points).astype(np.int32)], False, 1.0, 2, cv2.LINE_AA, 4)
    mask = cv2.GaussianBlur(mask, (0, 0), 1.1)
    image *= 1 - 0.3 * mask[..., None] * np.array([0.7, 1.0, 1.0], np.float32)


def paint_atlas(tone: str, seed: int, looks: Looks) -> tuple[Array, Array]:
    """(1024, 2048, 4) float32 linear RGB and gloss, and (1024, 2048) bool: True on hair."""
    rng = np.random.default_rng(seed)
    atlas = np.zeros((*ATLAS_SHAPE, 4), np.float32)

    def put(name: str, patch: Array) -> None:
        x, y, width, height = PATCHES[name]
        atlas[y : y + height, x : x + width] = patch

    head = _head(rng, tone, looks)
    put("head", head[..., :4])
    hair = np.zeros(ATLAS_SHAPE, bool)
    hair[:1024, :1024] = head[..., 4] > 0.5
    put("cloth", _cloth(rng, looks))
    put("skin", np.dstack([_skin(rng, (512, 512), tone, 7), np.full((512, 512), 0.3)]))
    put("hand", _hand(rng, tone))
    put("eye", _eye(rng, looks.iris_rgb))
    ear = _skin(rng, (256, 256), tone, 6) * np.array([1.05, 0.92, 0.92], np.float32)
    put("ear", np.dstack([ear, np.full((256, 256), 0.3)]))
    put("mouth", np.array([*linear((70, 18, 18)), 0.2]))
    put("tongue", np.array([*linear((176, 84, 84)), 0.6]))
    put("teeth", _teeth())
    if looks.long_hair:
        hair_rgb = linear(palette(TONES[tone], looks)[2])
        shade = strands(rng, PATCHES["locks"][2])[..., None]
        put("locks", np.dstack([hair_rgb * shade, 0.35 * shade]))
    if looks.glasses:
        put("frame", np.array([*linear((34, 30, 32)), 1.0]))
    return np.maximum(atlas, 0), hair


def _teeth() -> Array:
    x = np.linspace(-5, 5, 128)
    gap = 1 - 0.4 * np.exp(-np.square((np.abs(x % 1.0 - 0.5) - 0.5) / 0.09))
    image = linear((226, 216, 198)) * np.ones((128, 1, 1), np.float32) * gap[None, :, None]
    return np.dstack([image, np.full((128, 128), 0.8)])
