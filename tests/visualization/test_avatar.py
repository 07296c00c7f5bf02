"""The picture of an avatar shows what is painted in colour, and changes nothing."""

import numpy as np

from hybridanim.types import Avatar
from hybridanim.visualization import avatar


def test_origins_differ_in_colour_and_the_avatar_stays():
    behind = np.full((200, 1024, 3), 120, np.uint8)  # of the picture's own size
    is_painted = np.zeros((200, 1024), bool)
    is_painted[:, 512:] = True
    other = np.full((512, 512, 3), 90, np.uint8)
    symmetry = np.ones((128, 128), np.float32)
    symmetry[:64] = 0
    one = Avatar(behind, is_painted, other, symmetry)
    picture = avatar.picture(one)
    assert picture.shape == (912, 1024, 3) and picture.dtype == np.uint8
    assert (behind == 120).all() and (other == 90).all()
    continued, painted = picture[220, 300].astype(int), picture[220, 900].astype(int)
    assert continued[1] > continued[0] and painted[0] > painted[1] > painted[2]
    left, right = picture[450, 300], picture[450, 800]
    assert (left == 90).all() and right[2] > 90  # not symmetric
