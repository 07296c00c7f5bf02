"""Model cards: each says the SHA-256 of its weights, which are what the package loads."""

from dataclasses import replace

import pytest

from hybridanim import files
from hybridanim.errors import InputError
from hybridanim.face import aligner, face_model
from hybridanim.motion import imagined_network
from hybridanim.networks import weights
from hybridanim.runtime import face_points, matte, painters, prepared
from hybridanim.segmentation import skin_model

EXPECTED = {
    "alignment": aligner.WEIGHTS_SHA256,
    "face_model": face_model.WEIGHTS_SHA256,
    "face_points": face_points.WEIGHTS_SHA256,
    "painters": painters.WEIGHTS_SHA256,
    "matte": matte.WEIGHTS_SHA256,
    "imagined_motion": imagined_network.WEIGHTS_SHA256,
    "renderer_fast": weights.RENDERER.sha256,
    "detector_fast": weights.DETECTOR.sha256,
    "prepared": prepared.FILE.sha256,
}


@pytest.mark.parametrize("name", EXPECTED)
def test_card_code_and_file_agree(name):
    found = files.sha256(files.WEIGHTS / f"{name}.safetensors")
    assert found == EXPECTED[name]
    assert found in (files.WEIGHTS / f"{name}.md").read_text(encoding="utf-8")


def test_all_weights_together_are_small():
    assert sum(file.stat().st_size for file in files.WEIGHTS.glob("*.safetensors")) < 40 << 20


LOADERS = {
    "alignment": (aligner, aligner.load),
    "face_model": (face_model, face_model.load),
    "face_points": (face_points, face_points.load),
    "painters": (painters, painters.load),
    "matte": (matte, matte.load),
    "imagined_motion": (imagined_network, imagined_network.load),
    "skin_prior": (skin_model, skin_model.generic_cloud),
    "renderer_fast": (weights.RENDERER, weights.RENDERER.checked),
    "detector_fast": (weights.DETECTOR, weights.DETECTOR.checked),
    "prepared": (prepared.FILE, prepared.FILE.checked),
}


def test_every_weights_file_has_a_loader():
    assert LOADERS.keys() == {file.stem for file in files.WEIGHTS.glob("*.safetensors")}


@pytest.mark.parametrize("name", LOADERS)
def test_a_changed_bit_is_refused(name, monkeypatch, tmp_path):
    owner, load = LOADERS[name]
    data = bytearray((files.WEIGHTS / f"{name}.safetensors").read_bytes())
    data[-5] ^= 1  # a number, so that the file can still be read
    changed = tmp_path / f"{name}.safetensors"
    changed.write_bytes(data)
    if isinstance(owner, weights.Shipped):
        load = replace(owner, path=changed).checked
    else:
        place = "GENERIC_PATH" if owner is skin_model else "WEIGHTS"
        monkeypatch.setattr(owner, place, changed)
        load = load.__wrapped__  # without what was loaded before
    with pytest.raises(InputError, match=r"expected sha256 .*; fetch the file again"):
        load()


def test_a_skin_model_that_is_missing_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(skin_model, "GENERIC_PATH", tmp_path / "none")
    with pytest.raises(InputError, match=r"skin colour model: expected .*; reinstall"):
        skin_model.generic_cloud.__wrapped__()


def test_another_version_is_refused(monkeypatch):
    monkeypatch.setattr(face_model, "WEIGHTS_SHA256", "0" * 64)
    face_model.load.cache_clear()
    with pytest.raises(InputError, match="damaged or of another version"):
        face_model.load()
    face_model.load.cache_clear()
