"""Profiles come back as they were saved, and anything else is refused in words."""

import pytest

from hybridanim.errors import InputError
from hybridanim.profiles import (
    CameraProfile,
    Origin,
    SkinProfile,
    TextureProfile,
    TrackerProfile,
    load_profile,
    load_profiles,
    save_profile,
)

ORIGIN = Origin('a "quoted"\\\tname é.jpg', "ab" * 32, "2025-01-01T00:00:00+00:00")
SKIN = SkinProfile(
    (0.25, 0.75),
    ((120.1, 110.0, 150.0), (60.0, 115.0, 145.0)),
    ((90.0, 1.0, 2.0, 5.0, 0.1, 6.0), (40.0, 0.0, 0.0, 4.0, 0.0, 4.0)),
    (127.0, 129.5),
    ORIGIN,
)
CAMERA = CameraProfile(500.5, 501.0, 319.5, 239.5, (640, 480), (0.1, -0.2, 0.0, 0.0), 0.3, ORIGIN)
TRACKER = TrackerProfile("harris", 120, 13, 2, 0.8, 0.11, 43.0, 4.2, ORIGIN)
TEXTURE = TextureProfile(
    (640, 480), "0f" * 64, "perspective", 42.5,
    (("chin", 212.25, 305.0, 1.0), ("477", -3.5, 20.0, 0.25)), 0.12, ORIGIN,
)  # fmt: skip


@pytest.mark.parametrize("profile", [SKIN, CAMERA, TRACKER, TEXTURE])
def test_round_trip_is_exact(profile, tmp_path):
    path = save_profile(profile, tmp_path / "profile.toml")
    assert load_profile(path) == profile
    assert [p.name for p in tmp_path.iterdir()] == ["profile.toml"]


def changed(profile, path, old, new):
    """The file of a saved profile with one text replaced."""
    save_profile(profile, path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("[127.0, 129.5]", "[127.0, 1e300]", "white_uv"),
        ("[60.0, 115.0, 145.0]", "[60.0, 115.0, -1.0]", "means_yuv"),
        ("[90.0, 1.0", "[1e300, 1.0", "covariances_yuv"),
    ],
)
def test_colours_out_of_range_are_refused(old, new, name, tmp_path):
    path = changed(SKIN, tmp_path / "skin.toml", old, new)
    with pytest.raises(InputError, match=f"skin profile, {name}: expected"):
        load_profile(path)


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ('"perspective"', '"fisheye"', "camera: expected one of weak, perspective"),
        ("= 42.5", "= 0.0", "field_of_view_deg: expected 1 to 150"),
        ("= 42.5", "= 180.0", "field_of_view_deg: expected 1 to 150"),
        ("0f0f", "0F0f", "thumbnail: expected 128"),
        ("0f0f", "0f", "thumbnail: expected 128"),
        ("212.25", "1e300", "points: expected a place"),
        ("305.0", "nan", "points"),
        ("0.25]", "0.0]", "points: expected a place in pixels, a weight"),
        ("0.25]", "2.0]", "points: expected a place in pixels, a weight"),
        ('"477"', '"chin"', "points: expected each name once"),
        ('"477"', "477", "points: expected text"),
        ("[640, 480]", "[0, 480]", "picture_size_px"),
    ],
)
def test_points_of_a_texture_out_of_range_are_refused(old, new, name, tmp_path):
    path = changed(TEXTURE, tmp_path / "texture.toml", old, new)
    with pytest.raises(InputError, match=name):
        load_profile(path)


def test_profiles_are_sorted_by_kind(tmp_path):
    paths = [save_profile(p, tmp_path / f"{i}.toml") for i, p in enumerate((TRACKER, SKIN))]
    profiles = load_profiles(paths)
    assert (profiles.skin, profiles.camera, profiles.tracker) == (SKIN, None, TRACKER)
    with pytest.raises(InputError, match="at most one skin"):
        load_profiles([paths[1], paths[1]])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("schema = 1", "schema = 2", "expected schema 1, got 2"),
        ('kind = "camera"', 'kind = "lens"', "got 'lens'"),
        ("fx_px", "focal_px", "unknown .'focal_px'"),
        ("fx_px = 500.5", 'fx_px = "500.5"', "fx_px: expected a number"),
        ("fx_px = 500.5", "fx_px = -1.0", "above 0"),
        ("fx_px = 500.5", "fx_px = nan", "fx_px"),
        ("fx_px = 500.5", "fx_px = 1e300", "fx_px"),
        ("cx_px = 319.5", "cx_px = -1e300", "cx_px"),
        ("[0.1, -0.2, 0.0, 0.0]", "[1e300, 0.0, 0.0, 0.0]", "distortion"),
        ("[640, 480]", "[640, 10000000000000]", "picture_size_px"),
        ("[640, 480]", "[640, 480, 3]", "picture_size_px"),
        ("[640, 480]", "[640, true]", "picture_size_px"),
        ("[origin]", "[origin]\nauthor = 1", "unknown .'author'"),
        ("cx_px = 319.5", "", "missing .'cx_px'"),
    ],
)
def test_wrong_files_are_refused(old, new, words, tmp_path):
    path = changed(CAMERA, tmp_path / "camera.toml", old, new)
    with pytest.raises(InputError, match=words):
        load_profile(path)


def test_not_toml_and_not_there(tmp_path):
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe")
    for name in ("x.toml", "missing.toml"):
        with pytest.raises(InputError, match="made by calibration"):
            load_profile(tmp_path / name)
    with pytest.raises(InputError, match="can be written"):
        save_profile(SKIN, tmp_path / "no" / "folder.toml")


def test_impossible_mixtures_are_refused():
    with pytest.raises(InputError, match="sum 1"):
        SkinProfile((0.5,), SKIN.means_yuv[:1], SKIN.covariances_yuv[:1])
    with pytest.raises(InputError, match="positive definite"):
        SkinProfile((1.0,), SKIN.means_yuv[:1], ((1.0, 5.0, 0.0, 1.0, 0.0, 1.0),))
    with pytest.raises(InputError, match="as many"):
        SkinProfile((1.0,), (), ())


def test_origin_hashes_the_file(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"abc")
    origin = Origin.of(tmp_path / "a.bin")
    assert origin.source == "a.bin"
    assert origin.source_sha256.startswith("ba7816bf")
