"""What the scan before a run hands to view, reference and tracking."""

from __future__ import annotations

import numpy as np
import pytest

from hybridanim.prepare import driver_scan
from hybridanim.prepare.driver_scan import FaceObservation
from hybridanim.prepare.view import View
from hybridanim.types import FaceBox, HeadBox
from tests import synthetic


def seen(time_s, x=100.0, *, is_confirmed=True, share=1.0):
    """A face of 80 pixels, or a hit of the cascade that no landmarks confirm."""
    landmarks = np.zeros((72, 2), np.float32) if is_confirmed else None
    face = FaceBox(x - 40, 60.0, 80.0, 80.0)
    head = HeadBox((x, 100.0), 80.0)
    turned = (0.0, 0.0, 0.0)
    return FaceObservation(0, time_s, face, head, landmarks, turned, share_inside=share)


def test_confirmed_faces_go_before_hits_of_the_cascade():
    face, cabinet = seen(1.0), seen(2.0, 300.0, is_confirmed=False)
    assert driver_scan.surest_faces([cabinet, face]) == [face]
    assert driver_scan.surest_faces([cabinet]) == [cabinet]


def test_tracking_is_told_of_whole_confirmed_faces_in_pixels_of_the_view():
    view = View(20, 10, 400, 300, 0.5)
    faces = [seen(0.4, is_confirmed=False), seen(0.8, share=0.6), seen(1.2)]
    (known,) = driver_scan.faces_by_time(faces, view).items()
    assert known[0] == 1.2
    assert known[1].width_px == known[1].height_px == 40
    assert known[1].center_xy_px == pytest.approx((39.75, 44.75))
    assert not driver_scan.faces_by_time(faces[:1], view)


def test_a_cut_off_face_is_seen_as_such():
    picture = synthetic.photograph(256)
    from_face = driver_scan.detect(picture, 0, 0.0, None)
    assert from_face is not None and not from_face.is_clear
    aligner = pytest.importorskip("hybridanim.face.aligner").load()
    whole = driver_scan.detect(picture, 0, 0.0, aligner)
    assert whole is not None and whole.is_whole and whole.share_inside == 1
