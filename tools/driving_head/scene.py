"""Pose -> all vertices of the scene in camera coordinates, always in the same order.

Because the order never changes, the same (triangle, weights) in two frames is the same point of the
surface: that is what makes the optical flow exact. Camera axes: x right, y down, z away from the
camera, cm; head axes: x right, y up, z to the viewer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import body
from .head import EYE_X, EYEBALL, Expression, Head
from .looks import Looks, glasses, long_hair
from .paint import PATCHES
from .raster import Array
from .script import Pose
from .surfaces import Mesh, mesh_normals, smooth_step

DISTANCE_CM = 82.0  # camera to the head's origin
PIVOT = np.array([0.0, -7.0, -1.5])  # the head turns about the top of the spine
MATERIALS = ["skin", "eye", "other", "inside"]
# part -> atlas patch, material, label of the truth (0 none, 1 head, 2 left hand, 3 right hand)
PARTS = {
    "head": ("head", "skin", 1),
    "left_eye": ("eye", "eye", 0),
    "right_eye": ("eye", "eye", 0),
    "left_socket": ("tongue", "other", 0),
    "right_socket": ("tongue", "other", 0),
    "cavity": ("mouth", "other", 0),
    "upper_teeth": ("teeth", "eye", 0),
    "lower_teeth": ("teeth", "eye", 0),
    "tongue": ("tongue", "skin", 0),
    "left_ear": ("ear", "skin", 1),
    "right_ear": ("ear", "skin", 1),
    "neck": ("skin", "skin", 1),
    "torso": ("cloth", "other", 0),
    "left_hand": ("hand", "skin", 2),
    "right_hand": ("hand", "skin", 3),
    "left_sleeve": ("cloth", "other", 0),
    "right_sleeve": ("cloth", "other", 0),
    "locks": ("locks", "skin", 0),  # these two only where the looks have them
    "glasses": ("frame", "other", 0),
}


def rotation(yaw_deg: float, pitch_deg: float, roll_deg: float) -> Array:
    """3x3 in head axes: pitch (up) first, then yaw (to the right), then roll (clockwise)."""
    a, b, c = np.deg2rad([yaw_deg, pitch_deg, roll_deg])
    yaw = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    pitch = np.array([[1, 0, 0], [0, np.cos(b), np.sin(b)], [0, -np.sin(b), np.cos(b)]])
    roll = np.array([[np.cos(c), np.sin(c), 0], [-np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return roll @ yaw @ pitch


@dataclass(frozen=True, slots=True)
class Posed:
    """All vertices of the scene at one moment."""

    xyz: Array  # (V, 3) float64 in camera coordinates
    normal: Array  # (V, 3) float32 in camera axes with y up and z to the viewer
    uv: Array  # (V, 2) float32 pixels of the atlas
    shadow: Array  # (V,) float32 factor on the light: contact shadows
    head_rest: Array  # (V_head, 3) head skin in head coordinates, deformed by the expression


class Scene:
    """The parts, concatenated once; ``pose`` moves them."""

    def __init__(self, looks: Looks | None = None) -> None:
        self.head = Head()
        meshes = self._meshes() | self._extras(looks or Looks())
        self.starts: dict[str, int] = {}
        self._meshes_by_name = meshes
        self._normals = {n: mesh_normals(m.xyz, m.triangles) for n, m in meshes.items()}
        triangles, labels, materials, parts, start = [], [], [], [], 0
        for number, (name, mesh) in enumerate(meshes.items()):
            _, material, label = PARTS[name]
            triangles.append(mesh.triangles + start)
            self.starts[name] = start
            start += len(mesh.xyz)
            count = len(mesh.triangles)
            labels.append(np.full(count, label, np.uint8))
            materials.append(np.full(count, MATERIALS.index(material), np.uint8))
            parts.append(np.full(count, number, np.uint8))
        # the face seen from inside, through the mouth or past an eyeball
        inside = self._inside()
        triangles.append(inside)
        labels.append(np.zeros(len(inside), np.uint8))
        materials.append(np.full(len(inside), MATERIALS.index("inside"), np.uint8))
        parts.append(np.full(len(inside), list(meshes).index("cavity"), np.uint8))
        self.triangles = np.concatenate(triangles)
        self.triangle_label = np.concatenate(labels)
        self.triangle_material = np.concatenate(materials)
        self.triangle_part = np.concatenate(parts)
        self._uv = np.concatenate([_atlas_uv(m.uv, PARTS[n][0]) for n, m in meshes.items()])

    def _meshes(self) -> dict[str, Mesh]:
        head = self.head
        plain = Mesh(head.rest, head.uv, head.triangles)
        hand, sleeve = body.hand(), body.sleeve()
        return {
            "head": plain,
            "left_eye": body.eyeball((-EYE_X, 0.0, head.eye_z)),
            "right_eye": body.eyeball((EYE_X, 0.0, head.eye_z)),
            "left_socket": body.socket(-1, head.eye_z),
            "right_socket": body.socket(1, head.eye_z),
            "cavity": body.mouth_cavity(),
            "upper_teeth": body.teeth(-6.0, -7.15, 9.15),
            "lower_teeth": body.teeth(-7.05, -8.1, 8.9),
            "tongue": body.tongue(),
            "left_ear": body.ear(-1),
            "right_ear": body.ear(1),
            "neck": body.neck(),
            "torso": body.torso(),
            "left_hand": hand,
            "right_hand": body.mirrored(hand),
            "left_sleeve": sleeve,
            "right_sleeve": sleeve,
        }

    def _extras(self, looks: Looks) -> dict[str, Mesh]:
        found = {"locks": long_hair()} if looks.long_hair else {}
        if looks.glasses:
            found["glasses"] = glasses(EYE_X, self.head.eye_z + EYEBALL[2] + 2.1)
        return found

    def _inside(self) -> Array:
        x, y, z = self.head.rest[self.head.triangles].mean(axis=1).T
        near = (z > 2) & (np.abs(x) < 6) & (np.abs(y + 4.5) < 6)
        return self.head.triangles[near][:, ::-1]

    def pose(self, pose: Pose) -> Posed:
        """Deform, turn and place every part; hidden hands are put behind the camera."""
        turn = rotation(pose.yaw_deg, pose.pitch_deg, pose.roll_deg)
        shift = np.array(pose.shift_cm)
        xyz, normals, uv = [], [], self._uv.copy()
        skin = self.head.deform(pose.face)
        for name, mesh in self._meshes_by_name.items():
            points, normal = mesh.xyz, self._normals[name]
            if name == "head":
                points, normal = skin, self.head.normals(skin)
            elif name in ("lower_teeth", "tongue"):
                points = points - np.array([0, 1.75, 0.6]) * pose.face.jaw
            if name.endswith(("hand", "sleeve")):
                place = pose.left_hand if name.startswith("left") else pose.right_hand
                place = place or (0.0, 0.0, 1e4, 0.0, 0.0)
                points = body.hand_transform(points, place)
                normal = body.hand_transform(normal, (0, 0, 0, *place[3:]))
            elif name not in ("torso", "neck"):
                points = (points - PIVOT) @ turn.T + PIVOT + shift
                normal = normal @ turn.T
            else:
                points, normal = _bend(points, normal, turn, shift, name == "neck")
            if name.endswith("eye"):
                self._look(uv, name, pose.face)
            xyz.append(points)
            normals.append(normal)
        flat = np.concatenate(xyz) * np.array([1, -1, -1]) + np.array([0, 0, DISTANCE_CM])
        normal = np.concatenate(normals).astype(np.float32)
        return Posed(flat, normal, uv, self._shadow(xyz, shift), skin)

    def _look(self, uv: Array, name: str, face: Expression) -> None:
        start, count = self.starts[name], len(self._meshes_by_name[name].xyz)
        scale = PATCHES["eye"][2] / 4.4
        uv[start : start + count] += np.array([-face.gaze_x, face.gaze_y]) * scale

    def _shadow(self, xyz: list[Array], shift: Array) -> Array:
        """Shade below the jaw, on the eyeball under the lid, and deep in the mouth."""
        names = list(self._meshes_by_name)
        shadows = [np.ones(len(points), np.float32) for points in xyz]
        neck = xyz[names.index("neck")]
        chin = xyz[0][self.head.vertex(0.0, -11.0, 2)]
        below = chin[1] - neck[:, 1] + 0.35 * (neck[:, 0] - chin[0] + 2.0)
        shade = 0.34 + 0.66 * smooth_step(-1.5, 6.5, below)
        shadows[names.index("neck")] = shade.astype(np.float32)
        for eye in ("left_eye", "right_eye"):
            y = self._meshes_by_name[eye].xyz[:, 1]
            shadows[names.index(eye)] = (0.45 + 0.5 * smooth_step(0.75, 0.05, y)).astype(np.float32)
        for teeth in ("upper_teeth", "lower_teeth"):
            x = np.abs(self._meshes_by_name[teeth].xyz[:, 0])
            shadows[names.index(teeth)] = (0.62 * smooth_step(2.5, 0.6, x) + 0.1).astype(np.float32)
        shadows[names.index("tongue")] *= 0.45
        shadows[names.index("cavity")] *= 0.3
        return np.concatenate(shadows)


def _atlas_uv(uv: Array, patch: str) -> Array:
    x, y, width, height = PATCHES[patch]
    inside = np.clip(uv, 0, 1) * (np.array([width, height]) - 3) + 1
    return (inside + np.array([x, y])).astype(np.float32)


def _bend(
    xyz: Array, normal: Array, turn: Array, shift: Array, is_neck: bool
) -> tuple[Array, Array]:
    """The neck follows the head at its top; the body follows a little of the head's shift."""
    moved = (xyz - PIVOT) @ turn.T + PIVOT + shift
    weight = smooth_step(-17.0, -6.0, xyz[:, 1:2]) if is_neck else np.zeros((len(xyz), 1))
    still = xyz + 0.35 * shift
    normal = normal + weight * (normal @ turn.T - normal)
    return still + weight * (moved - still), normal
