"""What may be a source: pictures with a face, whichever side is up; nothing else."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from hybridanim.config import PipelineConfig
from hybridanim.errors import InputError
from hybridanim.face import aligner, face_model
from hybridanim.face.landmarks import GROUPS
from hybridanim.geometry import turned
from hybridanim.io import open_source, read_picture
from hybridanim.prepare import plausible, source_head
from hybridanim.profiles import Profiles
from hybridanim.runtime import face_points
from hybridanim.runtime.face_points import FacePoints
from stages.pipeline import Pipeline
from tests import synthetic
from tools.gallery import portraits

PORTRAITS = Path(__file__).parents[2].parent / "shared" / "data" / "portraits"


def located(picture, crop="auto", *, is_fitted=True):
    finder = FacePoints(face_points.load(), face_model.load()) if is_fitted else None
    config = PipelineConfig(crop=crop)
    return source_head.locate(picture, config, Profiles(), aligner.load(), finder)


def small(picture, side_px=256):
    scale = side_px / max(picture.shape[:2])
    picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return picture if picture.ndim == 3 else np.stack([picture] * 3, -1)


@pytest.mark.parametrize("name", ["coffee", "cat", "hubble_deep_field", "coins"])
def test_a_picture_without_a_face_is_refused(name):
    """Each of them was animated once: the landmark networks fit their points to anything."""
    picture = small(getattr(data, name)(), 320)
    with pytest.raises(InputError, match=r"source: expected a picture with a visible face.*--crop"):
        located(picture)


@pytest.mark.parametrize("name", ["etching", "halftone"])
def test_hatching_and_dots_hide_no_face(name):
    picture = portraits.picture(name)
    source = Pipeline.load(size=128).set_source(picture)
    plain = Pipeline.load(size=128).set_source(portraits.picture("astronaut"))
    apart_px = np.subtract(source.head.center_xy_px, plain.head.center_xy_px)
    assert np.hypot(*apart_px) < 0.1 * plain.head.size_px
    assert source.face is not None


def test_a_texture_is_refused_without_the_landmark_networks_too():
    with pytest.raises(InputError, match="visible face"):
        located(synthetic.textured(160, 160), is_fitted=False)


def test_a_crop_by_hand_says_that_there_is_a_face():
    picture = small(data.coffee(), 320)
    x, y = located(picture, crop="40,20,160,160").head.center_xy_px
    assert 40 <= x <= 200 and 20 <= y <= 180


@pytest.mark.parametrize("is_fitted", [True, False])
@pytest.mark.parametrize("turn_deg", [90, 180, 270])
def test_a_turned_picture_is_turned_back(turn_deg, is_fitted):
    upright = synthetic.photograph(256)
    known = located(upright, is_fitted=is_fitted)
    found = located(turned(upright, turn_deg), is_fitted=is_fitted)
    assert known.turn_deg == 0 and (found.turn_deg + turn_deg) % 360 == 0
    np.testing.assert_array_equal(found.landmarks_xy_px, known.landmarks_xy_px)


def test_the_turn_is_in_the_source_and_in_the_notes():
    pipeline = Pipeline.load(size=64)
    picture = synthetic.photograph(256)
    upright = pipeline.set_source(picture)
    assert pipeline.notes == []
    found = pipeline.set_source(turned(picture, 180))
    assert found.turn_deg == 180 and pipeline.notes == [
        "The source picture was turned by 180 degrees clockwise: as it is, its face is upside down."
    ]
    np.testing.assert_array_equal(found.image, upright.image)


@pytest.mark.slow
@pytest.mark.skipif(not PORTRAITS.is_dir(), reason="needs ../shared/data/portraits")
def test_no_portrait_painting_or_drawing_is_lost():
    lost, files = [], sorted(PORTRAITS.glob("*.jpg"))
    for path in files:
        try:
            found = located(read_picture(path))
        except InputError:
            lost.append(path.name)
        else:
            assert found.turn_deg == 0 and found.face is not None, path.name
    assert files and not lost


@pytest.mark.parametrize("shape", [(4001, 17), (17, 4001), (3000, 300)])
def test_a_strip_is_not_searched_without_end(monkeypatch, shape):
    looks = []
    monkeypatch.setattr(plausible, "_face_in", lambda *given: looks.append(given[1]))
    assert plausible.search(np.zeros(shape, np.uint8), aligner.load(), None) is None
    assert len(looks) <= 240
    assert all(box.size_px >= 12 for box in looks)


@pytest.mark.parametrize("name", ["coins", "hubble_deep_field"])
def test_a_refusal_takes_one_glance_at_most_boxes(monkeypatch, name):
    """Coins took 2884 looks of the network and 445 fits of the aligner: sixty times a source."""
    counts = {"looks": 0, "fits": 0}

    def counted(cls, method, key):
        plain = getattr(cls, method)

        def call(*given):
            counts[key] += 1
            return plain(*given)

        monkeypatch.setattr(cls, method, call)

    counted(FacePoints, "_face", "looks")
    counted(aligner.Aligner, "fit", "fits")
    with pytest.raises(InputError, match="visible face"):
        located(small(getattr(data, name)(), 320))
    assert counts["looks"] <= 1000 and counts["fits"] <= 130


@pytest.mark.parametrize("roll_deg", [-35, -20, 0, 20, 35, 45])
def test_a_search_finds_a_leaning_face(roll_deg):
    """The first glance is upright; 45 degrees is the most that no turn of the picture undoes."""
    grey = cv2.cvtColor(portraits.picture("astronaut"), cv2.COLOR_RGB2GRAY)
    middle = np.subtract(grey.shape[::-1], 1) / 2
    turn = cv2.getRotationMatrix2D(tuple(middle), roll_deg, 1.0)
    leaning = cv2.warpAffine(grey, turn, grey.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
    finder = FacePoints(face_points.load(), face_model.load())
    known = plausible.search(grey, aligner.load(), finder)
    found = plausible.search(leaning, aligner.load(), finder)
    expected = turn @ [*known.center_xy_px, 1]
    assert np.hypot(*(found.center_xy_px - expected)) < 0.1 * known.size_px
    assert abs(found.size_px / known.size_px - 1) < 0.05


def test_dark_glasses_hide_no_face():
    picture = portraits.picture("astronaut").copy()
    plain = located(picture).head
    found = Pipeline.load(size=128)
    found.set_source(picture)
    assert found.source is not None and found.source.landmarks_xy_px is not None
    for side in ("left", "right"):
        x, y = found.source.landmarks_xy_px[list(GROUPS[f"{side}_eye"])].mean(0).round().astype(int)
        radius = round(0.17 * plain.size_px)
        cv2.circle(picture, (int(x), int(y)), radius, (150, 60, 20), -1, cv2.LINE_AA)
    apart_px = np.subtract(located(picture).head.center_xy_px, plain.center_xy_px)
    assert np.hypot(*apart_px) < 0.15 * plain.size_px


TURNED = (
    PORTRAITS.parent / "faces" / "train" / "Volcomix-virtual-background__Doctor_-_26732-late__0.mp4"
)


@pytest.mark.skipif(not TURNED.exists(), reason="needs ../shared/data/faces")
def test_a_head_that_is_turned_far_is_animated_with_a_warning():
    """The aligner knows none beyond about 35 degrees; it was refused."""
    with open_source(TURNED) as reader:
        picture = next(reader).image
    pipeline = Pipeline.load(size=128, avatar="off")
    source = pipeline.set_source(picture)
    assert source.turn_deg == 0 and 35 < abs(source.rotation_deg[0]) < 50
    assert np.hypot(*np.subtract(source.head.center_xy_px, (110, 110))) < 40  # of 256 x 256
    assert any("degrees aside" in note for note in pipeline.notes)
