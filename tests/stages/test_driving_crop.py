"""--driving-crop: the part of the driver that absolute motion takes places and sizes from."""

import cv2
import numpy as np
import pytest

from hybridanim.errors import InputError
from stages.pipeline import Pipeline
from tests import synthetic


def size_ratio(driving_crop):
    """Size of the head in the result over the source's: the driver is the source itself."""
    frame = synthetic.driving_head(0.0, 1)[0].image
    pipeline = Pipeline.load(
        motion="absolute", crop="none", driving_crop=driving_crop, size=120, smooth=0.0
    )
    source = pipeline.set_source(frame)
    pipeline.animate(frame)
    target, own = pipeline.last.points.target.xy_norm, source.keypoints.xy_norm
    return np.ptp(target, axis=0)[0] / np.ptp(own, axis=0)[0]


def test_a_picture_that_drives_itself_keeps_its_size_with_both_crops_alike():
    height, width = synthetic.driving_head(0.0, 1)[0].image.shape[:2]
    assert size_ratio("none") == pytest.approx(1, abs=0.02)
    assert size_ratio(f"0,0,{width},{height}") == pytest.approx(1, abs=0.02)
    assert abs(size_ratio("auto") - 1) > 0.1  # the head fills its own crop otherwise


def test_an_unfit_driving_crop_is_refused_by_its_name():
    with pytest.raises(InputError, match="--driving-crop: expected auto, none or X,Y,W,H"):
        Pipeline.load(driving_crop="all")
    pipeline = Pipeline.load(driving_crop="5000,0,100,100", size=64)
    pipeline.set_source(synthetic.photograph(256))
    with pytest.raises(InputError, match="--driving-crop 5000,0,100,100: expected a part of"):
        pipeline.animate(synthetic.photograph(256))


@pytest.mark.parametrize(("background", "is_trusted"), [("auto", False), ("follow", True)])
def test_optical_flow_leaves_the_background_alone_while_the_camera_is_still(background, is_trusted):
    frames = synthetic.driving_head(0.0, 6)
    pipeline = Pipeline.load(motion="absolute", size=64, face_fit=False, background=background)
    source = pipeline.set_source(synthetic.photograph(256))
    pipeline.follow_optical_flow(True)
    for frame in frames:
        pipeline.animate(frame.image, frame.time_s)
    points = pipeline.last.points
    assert points.background is None and points.optical is not None
    height, width = points.optical.trust.shape
    person = cv2.resize(cv2.dilate(source.subject, np.ones((9, 9))), (width, height))
    assert bool(points.optical.trust[person == 0].max() > 0) == is_trusted
