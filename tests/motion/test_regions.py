"""An expression split into regions of the face."""

import numpy as np
import pytest

from hybridanim.face import face_model, mesh
from hybridanim.motion import regions

MODEL = face_model.load()
LIDS = [row for contour in mesh.EYES for row in contour]


def test_weights_are_shares():
    found = np.stack(regions.weights(MODEL))
    assert found.min() >= 0
    np.testing.assert_allclose(found.sum(0), 1)


def test_each_region_has_its_own_points():
    rest, lips, eyes = regions.weights(MODEL)
    assert (lips[[*mesh.OUTER_LIPS, *mesh.INNER_LIPS, 152]] > 0.99).all()  # and the chin
    assert (eyes[[*LIDS, *mesh.IRISES[0], *mesh.IRISES[1]]] > 0.99).all()
    assert (rest[[*mesh.BROWS[0], *mesh.BROWS[1], 4]] > 0.5).all()  # and the tip of the nose


def test_weights_are_mirror_symmetric():
    for weight in regions.weights(MODEL):
        np.testing.assert_allclose(weight, weight[MODEL.mirror], atol=1e-3)


def test_the_parts_add_up_to_the_whole():
    np.testing.assert_allclose(sum(regions.parts(MODEL)), np.eye(len(MODEL.expression)), atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_a_part_moves_its_region_and_hardly_the_others(seed):
    found = np.random.default_rng(seed).standard_normal(len(MODEL.expression)) * 0.6
    whole = np.tensordot(found, MODEL.expression, 1)

    def size(part, rows):
        matrix = getattr(regions.parts(MODEL), part)
        return np.linalg.norm(np.tensordot(matrix @ found, MODEL.expression, 1)[rows])

    mouth = [*mesh.OUTER_LIPS, *mesh.INNER_LIPS]
    moved = {"lips": np.linalg.norm(whole[mouth]), "eyes": np.linalg.norm(whole[LIDS])}
    assert size("lips", mouth) > 0.9 * moved["lips"] and size("eyes", mouth) < 0.1 * moved["lips"]
    assert size("eyes", LIDS) > 0.8 * moved["eyes"] and size("lips", LIDS) < 0.2 * moved["eyes"]
