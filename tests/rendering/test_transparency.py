"""Transparency and other backgrounds, against scenes whose layers are known."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from hybridanim.config import KeypointsConfig, PipelineConfig, RenderConfig, RenderJob
from hybridanim.errors import InputError
from hybridanim.io import provenance
from hybridanim.prepare import background
from hybridanim.rendering import warp
from hybridanim.rendering.output_frame import Composer
from hybridanim.rendering.transparency import Backdrop, Transparency, straight
from tests.rendering.test_warp import STILL, _disc, _moved, _scene, _source

RED, GREEN = (220, 40, 30), (0, 255, 0)


def shown(source, motion, option):
    """The picture of a frame by the warp renderer, with this background."""
    image = warp.render(warp.prepare(source, RenderConfig()), motion)
    return Transparency(source, RenderConfig(), Backdrop(option))(image, motion)


def flat_scene(size=256):
    """A red disc with a soft edge before a wall, its mask, and the disc's share of each pixel."""
    y, x = np.mgrid[:size, :size] * (256 / size)
    wall = np.stack([0 * x + 10, 60 + 20 * np.sin(x / 17), 180 + 20 * np.cos(y / 13)], -1)
    mask = _disc(size, soft_px=3.0)
    image = mask[..., None] * np.array(RED) + (1 - mask[..., None]) * wall
    return np.rint(image).astype(np.uint8), mask


def over(color, mask, backdrop):
    return mask[..., None] * np.array(color) + (1 - mask[..., None]) * np.asarray(backdrop)


def transparent(rgba, mask):
    """A source of a picture with alpha."""
    alpha = np.ascontiguousarray(rgba[..., 3])
    share = alpha[..., None] / 255
    image = np.rint(rgba[..., :3] * share + 255 * (1 - share)).astype(np.uint8)
    behind = background.inpaint_background(np.repeat(alpha[..., None], 3, 2), mask)[..., 0]
    return replace(_source(image, mask), alpha=alpha, inpainted_alpha=behind)


def test_an_opaque_source_before_its_own_background_is_left_alone():
    source = _source(*_scene())
    image = warp.render(warp.prepare(source, RenderConfig()), _moved(0.1))
    picture = Transparency(source, RenderConfig(), Backdrop("auto"))(image, _moved(0.1))
    assert picture.image is image and picture.alpha is None


@pytest.mark.parametrize("motion", [STILL, _moved(0.15)], ids=["still", "moved"])
def test_another_background_shows_beside_the_person_alone(motion):
    source = _source(*flat_scene())
    picture = shown(source, motion, "#00ff00")
    shift = 0 if motion is STILL else 0.15 * 128
    mask = _disc(256, soft_px=3.0, center=(0.5 + shift / 256, 0.5))
    out = picture.image.astype(int)
    assert picture.alpha is None
    assert np.abs(out[mask > 0.99] - RED).max() <= 12
    assert (out[mask < 0.01][:, 0] <= 8).all() and (out[mask < 0.01] == GREEN).mean() > 0.98
    edge = (mask > 0.2) & (mask < 0.8)
    wanted = over(RED, mask, GREEN)
    # nothing of the wall's blue is left at the edge
    assert out[edge][:, 2].max() < 60 and np.abs(out[edge] - wanted[edge]).mean() < 30


def test_transparent_is_the_same_picture_before_every_background():
    source = _source(*flat_scene())
    cut = shown(source, _moved(0.15), "transparent")
    assert cut.alpha is not None
    rgba = straight(cut.image, cut.alpha).astype(float)
    share = rgba[..., 3:] / 255
    mine = rgba[..., :3] * share + np.array(GREEN) * (1 - share)
    assert np.abs(mine - shown(source, _moved(0.15), "#00ff00").image).max() <= 2
    assert (cut.image[cut.alpha == 0] == 255).all()


def test_a_cut_out_source_comes_back_as_it_is():
    image, mask = flat_scene()
    alpha = np.rint(mask * 255).astype(np.uint8)
    rgba = np.dstack([np.broadcast_to(np.uint8(RED), image.shape), alpha])
    source = transparent(rgba, mask)
    picture = shown(source, STILL, "auto")
    assert np.array_equal(picture.alpha, alpha)
    back = straight(picture.image, picture.alpha)
    firm = alpha > 40
    assert np.abs(back[firm].astype(int) - rgba[firm]).max() <= 4
    moved = shown(source, _moved(0.15), "auto")
    x, y = (
        float((moved.alpha * axis).sum() / moved.alpha.sum()) for axis in np.mgrid[:256, :256][::-1]
    )
    assert (x, y) == pytest.approx((127.5 + 0.15 * 128, 127.5), abs=1.0)
    colors = straight(moved.image, moved.alpha)[moved.alpha > 40][:, :3].astype(int)
    assert np.abs(colors - RED).max() <= 12  # no white of what it lies on


def test_a_cut_out_source_s_own_alpha_wins_over_the_mask():
    image, mask = flat_scene()
    alpha = np.rint(mask * 255).astype(np.uint8)
    alpha[100:140, 200:210] = 255  # something in the person's hand, which no mask has
    rgba = np.dstack([np.broadcast_to(np.uint8(RED), image.shape), alpha])
    out = shown(transparent(rgba, mask), STILL, "#00ff00").image.astype(int)
    assert np.abs(out[110:130, 202:208] - RED).max() <= 2
    assert np.abs(out[:20, :20] - GREEN).max() <= 1


def test_a_photograph_with_clear_corners_keeps_them_and_its_wall():
    image, mask = flat_scene()
    alpha = np.full(mask.shape, 255, np.uint8)
    alpha[:30, :30] = 0
    source = transparent(np.dstack([image, alpha]), mask)
    own = shown(source, _moved(0.15), "auto")
    assert (own.alpha[:25, :25] == 0).all() and own.alpha[60, 10] == 255
    assert np.array_equal(own.image[60, :20], image[60, :20])
    replaced = shown(source, _moved(0.15), "#00ff00").image.astype(int)
    for place in ((10, 10), (60, 10), (10, 240)):  # the corner, and the wall
        assert np.abs(replaced[place] - GREEN).max() <= 2


def test_a_picture_as_the_background(tmp_path):
    other = np.zeros((100, 300, 3), np.uint8)
    other[:, :100], other[:, 100:200], other[:, 200:] = (9, 9, 9), (80, 90, 200), (240, 240, 9)
    Image.fromarray(other).save(tmp_path / "wall.png")
    picture = shown(_source(*flat_scene()), STILL, str(tmp_path / "wall.png"))
    assert np.abs(picture.image[5, 5].astype(int) - (80, 90, 200)).max() <= 1  # the middle of it
    assert np.abs(picture.image[128, 128].astype(int) - RED).max() <= 2
    (tmp_path / "bad.png").write_text("no picture")
    with pytest.raises(InputError, match=r"bad\.png"):
        Backdrop(str(tmp_path / "bad.png"))


def test_what_a_background_may_be(tmp_path):
    for good in ("auto", "still", "follow", "transparent", "green", "#0f0", "rgb(1,2,3)"):
        KeypointsConfig(background=good)
    for bad in ("gren", "", "missing.png", str(tmp_path)):
        with pytest.raises(InputError, match=r"--background: expected .*; check the name"):
            KeypointsConfig(background=bad)
    assert not KeypointsConfig(background="green", motion="absolute").moves_background
    with pytest.raises(InputError, match="--paste-back"):
        PipelineConfig(
            keypoints=KeypointsConfig(background="green"), render=RenderConfig(paste_back=True)
        )


@pytest.mark.parametrize("beside", [False, True])
def test_the_mark_is_seen_on_transparent_pictures(tmp_path, beside):
    source = _source(*flat_scene())
    config = PipelineConfig(keypoints=KeypointsConfig(background="transparent"))
    job = RenderJob(output=tmp_path / "o.webm", side_by_side=beside, pipeline=config)
    composer = Composer(job, source)
    cut = shown(source, STILL, "transparent")
    out = composer(cut.image, np.full((128, 256, 3), 77, np.uint8), cut.alpha)
    left = 512 if beside else 0
    assert composer.has_alpha and out.shape == (256, left + 256, 4)
    assert (out[:, :left] == (77, 77, 77, 255)).all()
    part = out[:, left:]
    unmarked = straight(cut.image, cut.alpha)
    changed = np.flatnonzero((part != unmarked).any(axis=(1, 2)))
    assert changed.min() > 230 and part[236:246, 220:240, 3].max() > 100
    over_black = part[..., :3] * (part[..., 3:] / 255)
    plain = unmarked[..., :3] * (unmarked[..., 3:] / 255)
    assert np.abs(over_black - provenance.draw_mark(np.rint(plain))).max() <= 2


def test_files_without_transparency_get_white(tmp_path):
    image, mask = flat_scene()
    source = transparent(np.dstack([image, np.rint(mask * 255).astype(np.uint8)]), mask)
    assert not Composer(RenderJob(output=tmp_path / "o.mp4"), source).has_alpha
    assert not Composer(RenderJob(output=tmp_path / "o.gif"), source).has_alpha
    assert Composer(RenderJob(output=tmp_path / "o.mov"), source).has_alpha
    green = PipelineConfig(keypoints=KeypointsConfig(background="green"))
    assert not Composer(RenderJob(output=tmp_path / "o.mov", pipeline=green), source).has_alpha
