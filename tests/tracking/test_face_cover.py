"""A hand before the face, with every tracker: the drawn head says where its hand is."""

import numpy as np
import pytest

from stages.pipeline import Pipeline
from tests import synthetic

LEFT_HAND, RIGHT_HAND = 2, 3


def covered_landmarks(frame):
    """Share of the face's landmarks before which there is a hand."""
    x, y = np.round(frame.landmarks_xy_px).astype(int).T
    height, width = frame.labels.shape
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    labels = frame.labels[y[inside], x[inside]]
    return float(np.isin(labels, (LEFT_HAND, RIGHT_HAND)).mean())


@pytest.mark.parametrize("tracker", ["classical", "learned", "hybrid"])
def test_a_hand_that_passes_before_the_face_is_told(tracker):
    frames = synthetic.driving_head(5.2, 60, hands=True)
    truth = np.array([covered_landmarks(frame) for frame in frames])
    pipeline = Pipeline.load(tracker=tracker)
    found = np.array([pipeline.observe(one.image, one.time_s).covered for one in frames])
    covered, free = truth > 0.2, truth == 0
    assert covered.sum() > 5 and free.sum() > 20
    assert (found[covered] > 0).mean() > 0.7
    assert (found[free] > 0).mean() < 0.05


def test_speech_and_turns_cover_nothing():
    pipeline, found = Pipeline.load(), []
    for start_s in (0.0, 4.3):
        pipeline.reset()
        frames = synthetic.driving_head(start_s, 24)
        found += [pipeline.observe(one.image, one.time_s).covered for one in frames]
    assert (np.array(found) > 0).mean() < 0.05 and max(found) < 0.05
