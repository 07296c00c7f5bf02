"""Shapes of the tensors, said without torch, are those of the torch networks."""

from dataclasses import replace

import pytest
import torch

from hybridanim.face.anchors import ANCHORS
from hybridanim.networks import build, constants, mouth_eye_masks, shapes
from hybridanim.networks.sizes import FACE_DETECTOR, OBJECT, OBJECT_DETECTOR, FastSizes
from tests import made_networks as made

FAST = [
    FastSizes(),
    FastSizes(openings=True, optical=True),
    replace(made.TINY, optical=True, blocks=0, encoder_blocks=3, motion_widths=(4, 8)),
    OBJECT,
]


def of(net):
    return {name: tuple(value.shape) for name, value in net.state_dict().items()}


@pytest.mark.parametrize("sizes", FAST, ids=str)
def test_animator(sizes):
    for count in (len(ANCHORS),) if sizes.openings else (1, 7):
        with torch.device("meta"):
            net = build.fast(sizes, torch.ones(count))
        assert shapes.animator(sizes, count) == of(net)


@pytest.mark.parametrize("sizes", [FACE_DETECTOR, OBJECT_DETECTOR, made.TINY_DETECTOR], ids=str)
def test_detector(sizes):
    assert shapes.detector(sizes) == of(build.detector(sizes))


def test_the_openings_have_keypoints():
    names = [anchor.name for anchor in ANCHORS]
    rows = constants.opening_rows()
    assert len(rows) == constants.OPENINGS and mouth_eye_masks.rows().tolist() == rows
    assert names[rows[0][2]] == "upper_lip_inside" and names[rows[1][0]] == "left_outer_eye"
