"""The warp renderer against known motions, and what it must never touch."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy import ndimage
from skimage import data

from hybridanim import geometry
from hybridanim.config import RenderConfig
from hybridanim.prepare import background
from hybridanim.rendering import warp
from hybridanim.types import Crop, DenseMotion, HeadBox, Keypoints, Reason, Source

STILL = DenseMotion(geometry.grid_norm(64), np.ones((64, 64), np.float32))
BOTH = ("layers", "sheet")


def _source(image, mask):
    points = Keypoints(
        np.zeros((1, 2), np.float32), np.eye(2, dtype=np.float32)[None], np.ones(1, np.float32)
    )
    size = float(image.shape[0])
    return Source(
        picture=image,
        crop=Crop(0, 0, size),
        image=image,
        keypoints=points,
        head=HeadBox((size / 2, size / 2), size / 3),
        subject=mask.astype(np.float32),
        inpainted_background=background.inpaint_background(image, mask.astype(np.float32)),
    )


def _disc(size, radius=0.25, soft_px=1.0, center=(0.5, 0.5)):
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    away = (np.hypot(x - center[0], y - center[1]) - radius) * size
    return np.clip(0.5 - away / (2 * soft_px), 0, 1).astype(np.float32)


def _scene(size=256, soft_px=1.0):
    """A red, textured disc before a blue wall, and its mask."""
    y, x = np.mgrid[:size, :size] * (256 / size)
    wall = np.stack([0 * x + 10, 60 + 20 * np.sin(x / 17), 180 + 20 * np.cos(y / 13)], -1)
    red = np.stack([210 + 30 * np.sin(x / 5 + y / 9), 20 + 0 * x, 20 + 0 * x], -1)
    mask = _disc(size, soft_px=soft_px)
    image = mask[..., None] * red + (1 - mask[..., None]) * wall
    return np.rint(image).astype(np.uint8), mask


def _moved(dx_norm, dy_norm=0.0, radius=0.7):
    """What ends within the radius moves by (dx, dy), the border rests: a backward grid."""
    grid = geometry.grid_norm(64)
    outside = np.hypot(*np.moveaxis(grid, -1, 0)).clip(radius) - radius
    weight = np.exp(-60 * outside**2)
    grid = grid - weight[..., None] * np.array([dx_norm, dy_norm])
    return DenseMotion(grid.astype(np.float32), np.ones((64, 64), np.float32))


def _render(source, motion, **settings):
    return warp.render(warp.prepare(source, RenderConfig(**settings)), motion)


@pytest.mark.parametrize("composite", BOTH)
@pytest.mark.parametrize("interpolation", ["linear", "cubic", "lanczos"])
def test_no_motion_returns_the_source_bit_for_bit(composite, interpolation):
    image = cv2.resize(data.astronaut(), (256, 256), interpolation=cv2.INTER_AREA)
    mask = cv2.GaussianBlur(_disc(256), (0, 0), 9)  # a poor matte must not show either
    out = _render(_source(image, mask), STILL, composite=composite, interpolation=interpolation)
    np.testing.assert_array_equal(out, image)


def test_layers_add_up_to_the_source_for_any_matte():
    image = cv2.resize(data.astronaut(), (128, 128), interpolation=cv2.INTER_AREA)
    noise = np.random.default_rng(0).random((128, 128)).astype(np.float32)
    for mask in (noise, cv2.GaussianBlur(noise, (0, 0), 4), _disc(128), 0 * noise, 0 * noise + 1):
        prepared = warp.prepare(_source(image, mask), RenderConfig())
        pad, size = prepared.pad, len(prepared.image)
        person = prepared.person[pad : pad + size, pad : pad + size]
        total = person[..., :3] + (1 - person[..., 3:]) * prepared.background
        assert np.abs(total - image).max() < 0.01


def test_background_stays_bit_for_bit_when_the_person_moves():
    image, mask = _scene()
    out = _render(_source(image, mask), _moved(0.15))
    touched = _disc(256, 0.25 + 0.15 / 2 + 0.04) > 0  # the disc, how far it goes, and its margin
    assert (out[~touched] == image[~touched]).all()
    assert (out != image).any()


@pytest.mark.parametrize("composite", BOTH)
def test_person_moves_by_the_given_shift(composite):
    image = cv2.GaussianBlur(cv2.resize(data.astronaut(), (256, 256)), (0, 0), 1.5)
    dx_px, dy_px = 10.5, -6.25
    motion = _moved(2 * dx_px / 256, 2 * dy_px / 256)
    out = _render(_source(image, _disc(256, 0.33)), motion, composite=composite)
    truth = ndimage.shift(image.astype(float), (dy_px, dx_px, 0), order=3, mode="nearest")
    inside = _disc(256, 0.2, center=(0.5 + dx_px / 256, 0.5 + dy_px / 256)) == 1
    error = np.abs(out[inside] - truth[inside])
    assert error.mean() < 0.6 and np.quantile(error, 0.99) < 3


def test_uncovered_places_show_the_wall_and_no_red():
    image, mask = _scene()
    source = _source(image, mask)
    out = _render(source, _moved(0.2))
    left = (mask > 0) & (_disc(256, 0.29, center=(0.5 + 0.1, 0.5)) == 0)
    assert left.sum() > 500
    assert out[left][:, 0].max() < 80  # wall: 10, disc: 180 and more
    assert np.abs(out[left].astype(float) - source.inpainted_background[left]).mean() < 6


def test_occluded_cells_show_no_person_at_the_edge_but_keep_the_inside():
    image, mask = _scene()
    grid = _moved(0.02).grid_norm.copy()
    grid[24:40, 5:8] = 0.0  # a fold: the wall at the left shows the disc's middle once more
    occlusion = np.ones((64, 64), np.float32)
    for painted in (False, True):
        if painted:
            occlusion[:, :12] = 0
            occlusion[28:36, 28:36] = 0  # the disc's very middle
        out = _render(_source(image, mask), DenseMotion(grid, occlusion))
        assert (out[:, :48, 0].max() < 60) == painted
        assert out[112:144, 112:144, 0].min() > 150


def test_the_reasons_of_a_mesh_do_not_cut_the_person():
    image, mask = _scene()
    motion = _moved(0.1)
    hidden = np.zeros((64, 64), np.float32)
    reasons = np.full((64, 64), Reason.UNCOVERED, np.uint8)
    explained = DenseMotion(motion.grid_norm, hidden, reasons=reasons)
    source = _source(image, mask)
    np.testing.assert_array_equal(_render(source, explained), _render(source, motion))


@pytest.mark.parametrize("soft_px", [1.0, 6.0])
def test_no_halo_and_no_double_edge(soft_px):
    image, mask = _scene(soft_px=soft_px)
    out = _render(_source(image, mask), _moved(0.15)).astype(float)
    row = out[128, :, 0]  # red along the middle row: one rise, one fall
    rises = np.flatnonzero(np.diff((row > 110).astype(int)) == 1)
    falls = np.flatnonzero(np.diff((row > 110).astype(int)) == -1)
    assert len(rises) == len(falls) == 1
    within_px = 1.5 + soft_px / 4  # the disc's texture shifts the middle of a soft edge
    assert abs(rises[0] - (64 + 19.2)) < within_px and abs(falls[0] - (192 + 19.2)) < within_px
    assert row[: rises[0] - 3 * int(soft_px + 2)].max() < 45  # nothing of the old edge is left
    assert row.min() > 0  # nor a dark rim
    steepest = np.abs(np.diff(image[128, :, 0].astype(float))).max()
    assert np.abs(np.diff(row)).max() < 1.35 * steepest


def test_512_and_1024_agree():
    image, mask = _scene(1024, soft_px=4)
    small = cv2.resize(image, (512, 512), interpolation=cv2.INTER_AREA)
    small_mask = cv2.resize(mask, (512, 512), interpolation=cv2.INTER_AREA)
    large_out = _render(_source(image, mask), _moved(0.13, 0.06))
    large_out = cv2.resize(large_out, (512, 512), interpolation=cv2.INTER_AREA)
    small_out = _render(_source(small, small_mask), _moved(0.13, 0.06))
    difference = cv2.absdiff(large_out, small_out)
    assert difference.mean() < 0.3 and np.quantile(difference, 0.999) <= 12


@pytest.mark.parametrize("size", [100, 256, 300, 1024])
def test_affine_motion_is_up_sampled_exactly(size):
    def affine(grid):
        x, y = grid[..., 0], grid[..., 1]
        return np.stack([0.1 * x - 0.05 * y, 0.2 * y + 0.03]).astype(np.float32)

    found = np.stack(warp._upsampled(affine(geometry.grid_norm(64)), size))
    error = np.abs(found - affine(geometry.grid_norm(size)))
    margin = -(-size // 256)  # the outermost eighth of a cell is constant
    assert error[:, margin:-margin, margin:-margin].max() < 1e-5 and error.max() < 1e-3


def test_up_sampled_flow_is_scipys_spline_and_has_no_creases():
    rng = np.random.default_rng(2)
    flow = ndimage.gaussian_filter(rng.normal(0, 1, (2, 64, 64)), (0, 3, 3)).astype(np.float32)
    at = (np.arange(1024) + 0.5) / 16 - 0.5
    truth = ndimage.map_coordinates(
        flow[0].astype(float), np.meshgrid(at, at, indexing="ij"), order=3, mode="mirror"
    )
    found = warp._upsampled(flow, 1024)[0]
    inside = slice(64, -64)  # the two differ in what they think of the border
    assert np.abs(found - truth)[inside, inside].max() < 0.01 * np.abs(flow).max()
    bend = np.abs(np.diff(found[inside], 2, axis=0)).max()
    plain = cv2.resize(flow[0], (1024, 1024), interpolation=cv2.INTER_LINEAR)
    assert bend < 0.4 * np.abs(np.diff(plain[inside], 2, axis=0)).max()


def _in_one_piece(prepared, motion, size):
    """The formula of docs/guide/rendering.md over the whole picture in floating point."""
    flow = warp._pinned_flow(motion, prepared)
    across, down = warp._upsampled(flow * (size / 2), size)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    moved = cv2.remap(
        prepared.person,
        x + across + prepared.pad,
        y + down + prepared.pad,
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_CONSTANT,
    )
    shown = warp._shown(prepared, motion, flow, size)
    moved = moved if shown is None else moved * shown[..., None]
    free = 1 - np.clip(moved[..., 3:], 0, 1)
    return np.clip(moved[..., :3] + free * prepared.background, 0, 255)


@pytest.mark.parametrize("size", [100, 256, 300, 512])
@pytest.mark.parametrize("is_hidden", [False, True])
def test_bands_give_what_one_piece_gives(size, is_hidden):
    image, mask = _scene(size, soft_px=size / 128)
    motion = _moved(0.13, -0.08)
    if is_hidden:
        occlusion = np.ones((64, 64), np.float32)
        occlusion[10:30, 8:30] = 0.3
        motion = replace(motion, occlusion=occlusion)
    prepared = warp.prepare(_source(image, mask), RenderConfig())
    found = warp.render(prepared, motion)
    assert np.abs(found - _in_one_piece(prepared, motion, size)).max() < 0.75
    assert (found != image).mean() > 0.1


def test_border_meets_the_picture_around_it():
    image = data.astronaut()[:256, :256].copy()
    grid = (geometry.grid_norm(64) + 0.1).astype(np.float32)
    motion = DenseMotion(grid, np.ones((64, 64), np.float32))
    source = _source(image, np.ones((256, 256), np.float32))
    around = cv2.copyMakeBorder(image, 0, 9, 9, 9, cv2.BORDER_REFLECT)  # but not above
    source = replace(source, picture=around, crop=Crop(9, 0, 256))
    out = _render(source, motion, paste_back=True).astype(int)
    for edge in (out[-1] - image[-1], out[:, 0] - image[:, 0], out[:, -1] - image[:, -1]):
        assert np.abs(edge[20:]).mean() < 2
    assert np.abs(out - image)[64:192, 64:192].mean() > 5
    assert np.abs(out - image)[0, 64:192].mean() > 5  # at the picture's own edge nothing is held
    free = _render(source, motion).astype(int)
    assert np.abs(free - image)[-1].mean() > 5  # nor when nothing is pasted back


def test_vague_mask_bends_the_picture_instead_of_ghosting():
    image, _ = _scene()
    vague = cv2.GaussianBlur(_disc(256, 0.3), (0, 0), 20)
    out = _render(_source(image, vague), _moved(0.1))
    np.testing.assert_array_equal(
        out, _render(_source(image, vague), _moved(0.1), composite="sheet")
    )
    row = out[128, :, 0].astype(int)
    assert (np.diff((row > 110).astype(int)) == 1).sum() == 1  # one disc, not two
    assert row[:70].max() < 60
    np.testing.assert_array_equal(out[:12], image[:12])  # far away the wall stands


def test_nothing_given_is_changed():
    image, mask = _scene()
    source = _source(image, mask)
    before = [array.copy() for array in (source.image, source.subject, source.inpainted_background)]
    prepared = warp.prepare(source, RenderConfig())
    first = warp.render(prepared, _moved(0.1))
    second = warp.render(prepared, _moved(0.1))
    np.testing.assert_array_equal(first, second)
    for old, new in zip(
        before, (source.image, source.subject, source.inpainted_background), strict=True
    ):
        np.testing.assert_array_equal(old, new)


def test_wild_motion_gives_a_picture():
    rng = np.random.default_rng(5)
    image, mask = _scene()
    wild = geometry.grid_norm(64) + rng.normal(0, 0.8, (64, 64, 2))
    motion = DenseMotion(wild.astype(np.float32), rng.random((64, 64)).astype(np.float32))
    out = _render(_source(image, mask), motion)
    assert out.shape == image.shape and out.dtype == np.uint8


@pytest.mark.parametrize("composite", ["layers", "sheet"])
def test_a_camera_moves_what_is_behind(composite):
    """Everything moves by one shift: the result is the source, moved; both ways of compositing."""
    source = _source(*_scene())
    shift_px, size = 12, source.image.shape[0]
    shift = 2 * shift_px / size
    background = np.array([[1, 0, -shift], [0, 1, 0]], np.float32)  # source <- output
    grid = geometry.grid_norm(64).copy()
    grid[..., 0] -= shift
    motion = DenseMotion(grid, np.ones((64, 64), np.float32), background=background)
    out = warp.render(warp.prepare(source, RenderConfig(composite=composite)), motion)
    truth = np.roll(source.image, shift_px, axis=1).astype(int)
    off = np.abs(out.astype(int) - truth)[8:-8, shift_px + 4 : -4]
    assert np.median(off) <= 1
    assert off.mean() < 2.5


def test_a_moving_background_meets_the_picture_around_it():
    around = np.zeros((400, 400, 3), np.uint8)
    source = replace(_source(*_scene()), crop=Crop(40.0, 40.0, 256.0), picture=around)
    background = np.array([[1, 0, -0.1], [0, 1, 0.05]], np.float32)
    moved = geometry.grid_norm(64) @ background[:, :2].T + background[:, 2]
    motion = DenseMotion(
        moved.astype(np.float32), np.ones((64, 64), np.float32), background=background
    )
    config = RenderConfig(paste_back=True)
    out = warp.render(warp.prepare(source, config), motion)
    for edge in (np.s_[:2], np.s_[-2:], np.s_[:, :2], np.s_[:, -2:]):
        assert np.abs(out[edge].astype(int) - source.image[edge]).max() <= 2
