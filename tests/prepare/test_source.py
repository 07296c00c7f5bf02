"""The part of the source that is animated: crops by hand that cannot be meant."""

import numpy as np
import pytest

from hybridanim import Pipeline
from hybridanim.config import PipelineConfig, RenderConfig
from hybridanim.errors import InputError
from hybridanim.prepare import source, source_head
from hybridanim.profiles import Profiles
from hybridanim.types import Blob, Crop, SkinMask
from tests import synthetic

PICTURE = np.full((48, 64, 3), 128, np.uint8)


@pytest.mark.parametrize(
    ("crop", "said"),
    [
        ("0,0,30000,30000", "of far more than it"),
        ("0,0,20,193", "of far more than it"),
        ("64,0,20,20", "beside it"),
        ("-40,0,20,20", "beside it"),
        ("0,9000,20,20", "beside it"),
    ],
)
def test_a_crop_that_is_no_part_of_the_picture_is_refused_before_anything_is_made(crop, said):
    with pytest.raises(InputError, match=f"--crop {crop}: expected a part of the 64x48.*{said}"):
        source.prepare(PICTURE, PipelineConfig(crop=crop), Profiles(), None)


@pytest.mark.parametrize("crop", ["-60,-40,192,192", "63,47,20,20", "0,0,64,48"])
def test_a_crop_with_some_room_round_it_is_taken(crop):
    source.refuse_far_crop(PICTURE, crop)


def test_skin_is_searched_at_a_bounded_size(monkeypatch):
    seen = []

    def segment(picture, config, profile):
        seen.append(picture.shape)
        mask = np.full(picture.shape[:2], 255, np.uint8)
        blob = Blob("head", (100, 200, 300, 300), (250, 350), 1e6)
        return SkinMask(mask, (blob,))

    monkeypatch.setattr(source_head, "segment_still", segment)
    config = PipelineConfig()
    face = source_head._skin_face(np.zeros((6144, 8192, 3), np.uint8), config, Profiles())
    assert face is not None and face.x_px == 200 and face.width_px == 600
    face = source_head._skin_face(np.zeros((3072, 4096, 3), np.uint8), config, Profiles())
    assert face is not None and face.x_px == 100 and face.width_px == 300
    assert seen == [(3072, 4096, 3)] * 2


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (1, 1)])
def test_a_picture_of_a_few_rows_is_refused(size):
    with pytest.raises(InputError, match="source: expected a picture of 16 pixels"):
        source.prepare(np.zeros((*size, 3), np.uint8), PipelineConfig(), Profiles(), None)


@pytest.mark.parametrize(
    ("options", "crop_px", "usual_px", "side_px"),
    [
        ({}, 1312, 1312, 512),
        ({}, 300, 300, 300),  # never above the source's own detail
        ({}, 1312, 656, 1024),  # a wider crop has as many pixels to a head
        ({}, 40, 40, 64),
        ({"size": 700}, 1312, 1312, 700),
        ({"render": RenderConfig(renderer="learned")}, 1312, 1312, 512),
        ({"render": RenderConfig(renderer="warp")}, 1312, 1312, 1312),
        ({"render": RenderConfig(renderer="warp")}, 3000, 3000, 2048),
        ({"render": RenderConfig(paste_back=True)}, 1312, 1312, 1312),
    ],
)
def test_the_usual_size_is_what_is_worth_rendering(options, crop_px, usual_px, side_px):
    picture = np.zeros((3000, 3000, 3), np.uint8)
    crop = Crop(10, 10, crop_px)
    image = source._cut(picture, crop, PipelineConfig(**options), usual_px)
    assert image.shape == (side_px, side_px, 3)


def test_a_transparent_source_keeps_its_alpha():
    picture = synthetic.photograph(256)
    alpha = np.full((256, 256), 255, np.uint8)
    alpha[:, :20] = 0
    pipeline = Pipeline.load(size=128, crop="none")
    plain, clear = (
        pipeline.set_source(one)
        for one in (np.dstack([picture, 255 + 0 * alpha]), np.dstack([picture, alpha]))
    )
    assert plain.alpha is None and clear.alpha is not None and clear.inpainted_alpha is not None
    assert clear.alpha[64, 2] == 0 and clear.alpha[64, 120] == 255
    assert np.array_equal(plain.picture, picture)
    assert (clear.picture[:, :20] == 255).all() and (clear.image[60:68, :5] > 250).all()
