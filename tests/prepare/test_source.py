"""The part of the source that is animated: crops by hand that cannot be meant."""

import numpy as np
import pytest

from hybridanim.config import PipelineConfig
from hybridanim.errors import InputError
from hybridanim.prepare import source
from hybridanim.profiles import Profiles

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
    source._refuse_far_crop(PICTURE, crop)
