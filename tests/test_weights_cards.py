"""Model cards: each says the SHA-256 of its weights, which are what the package loads."""

import pytest

from hybridanim import files
from hybridanim.errors import InputError
from hybridanim.face import aligner, face_model
from hybridanim.networks import weights
from hybridanim.runtime import face_points

EXPECTED = {
    "alignment": aligner.WEIGHTS_SHA256,
    "face_model": face_model.WEIGHTS_SHA256,
    "face_points": face_points.WEIGHTS_SHA256,
    "renderer_fast": weights.RENDERER.sha256,
    "detector_fast": weights.DETECTOR.sha256,
}


@pytest.mark.parametrize("name", EXPECTED)
def test_card_code_and_file_agree(name):
    found = files.sha256(files.WEIGHTS / f"{name}.safetensors")
    assert found == EXPECTED[name]
    assert found in (files.WEIGHTS / f"{name}.md").read_text(encoding="utf-8")


def test_all_weights_together_are_small():
    assert sum(file.stat().st_size for file in files.WEIGHTS.glob("*.safetensors")) < 40 << 20


def test_another_version_is_refused(monkeypatch):
    monkeypatch.setattr(face_model, "WEIGHTS_SHA256", "0" * 64)
    face_model.load.cache_clear()
    with pytest.raises(InputError, match="damaged or of another version"):
        face_model.load()
    face_model.load.cache_clear()
