"""The landmark networks at run time: grey picture, head pose -> mesh points, by OpenVINO or torch.

The graphs are built from the weights file directly, with the batch norms folded into the
convolutions, so that no start imports torch. Two passes find a face in a box; afterwards one pass a
frame is enough. Eyes and mouth are then looked at closely, each twice, for the mean of two answers
errs less than either: the mouth in a mirror, too, and each eye from two windows side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from hybridanim import extras, files, quiet
from hybridanim.errors import InputError
from hybridanim.face import face_fit, face_windows
from hybridanim.face.face_fit import Observation
from hybridanim.face.face_model import FaceModel
from hybridanim.face.face_windows import EYE, FACE, KINDS, MOUTH, WindowKind
from hybridanim.networks import face_points_file, small_file
from hybridanim.types import Array, HeadBox, HeadPose

from .layers import folded, request_of

WEIGHTS = files.WEIGHTS / "face_points.safetensors"
WEIGHTS_SHA256 = "86b50d509985c12947239a5728f9848baea7f2df898b484f01b4d5fe9d4f2058"
LEAST_CONFIDENCE = 0.5  # of a face in the window
_TURNS_DEG = (0.0, -30.0, 30.0)  # rolls of the first window, relative to the box
BATCH = {"face": 1, "eye": 4, "mouth": 2}
"""Windows that each network is shown at a time."""
_ASIDE_PX = np.array([1.5, 0.8])  # of the two windows of an eye, to either side

Network = Callable[[Array], tuple[Array, Array]]
"""Windows (N, 1, H, W) float32 -> points (N, P, D) in window widths, and face scores (N,)."""


class FacePoints:
    """Finds the mesh points of one face in a picture; no state between calls."""

    def __init__(self, networks: Mapping[str, Network], model: FaceModel) -> None:
        """networks: by the name of their window kind, see ``load``."""
        self._networks, self.model = networks, model
        place = {number: row for row, number in enumerate(MOUTH.points)}
        self._mirrored_lips = [place[int(model.mirror[number])] for number in MOUTH.points]

    def start(self, grey: Array, head: HeadBox) -> Observation | None:
        """Find a face in a head box, (H, W) uint8 grey; None where there is none."""
        best: Observation | None = None
        for turn in _TURNS_DEG:
            angle = np.deg2rad(head.roll_deg + turn)
            c, s = np.cos(angle), np.sin(angle)
            rotation = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
            pose = HeadPose(rotation, head.size_px, np.array(head.center_xy_px))
            found = self._face(grey, pose)
            if best is None or found.confidence > best.confidence:
                best = found
            if found.confidence > 0.9:
                break
        assert best is not None
        if best.confidence < 0.2:  # the second window is better placed
            return None
        found = self._face(grey, self.pose_of(best.xyz_px))
        return self._closer(grey, found) if found.confidence > LEAST_CONFIDENCE else None

    def glance(self, grey: Array, head: HeadBox) -> float:
        """Confidence in [0, 1] of a face in the window of a head box alone: a third of a start."""
        angle = np.deg2rad(head.roll_deg)
        rotation = np.eye(3)
        rotation[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        pose = HeadPose(rotation, head.size_px, np.array(head.center_xy_px))
        return self._face(grey, pose).confidence

    def track(self, grey: Array, expected: HeadPose) -> Observation | None:
        """Find the face near an expected pose, that of the last frame; None where there is none."""
        found = self._face(grey, expected)
        return self._closer(grey, found) if found.confidence > LEAST_CONFIDENCE else None

    def refine(self, grey: Array, expected: Observation) -> Observation:
        """Look at eyes and mouth alone, where they are expected."""
        found = self._closer(grey, expected)
        return Observation(found.xyz_px, expected.confidence, is_coarse=False)

    def pose_of(self, xyz_px: Array) -> HeadPose:
        """The pose of mesh points (478, 3), by those that move with the skull."""
        return face_fit.pose_of(self.model, xyz_px)

    def _face(self, grey: Array, pose: HeadPose) -> Observation:
        matrix = face_windows.face_window(pose)
        window = face_windows.cut(grey, matrix, FACE)
        points, score = self._networks["face"](face_windows.normalised(window[None]))
        xyz = to_picture(points[0], matrix, FACE)
        return Observation(xyz, float(1 / (1 + np.exp(-np.clip(score[0], -30, 30)))))

    def _closer(self, grey: Array, found: Observation) -> Observation:
        xyz = found.xyz_px.copy()
        pose = self.pose_of(xyz)
        eyes = [face_windows.eye_window(xyz[:, :2], pose, side) for side in (0, 1)]
        mouth = face_windows.mouth_window(xyz[:, :2], pose)
        eyes = [_moved(matrix, way * _ASIDE_PX) for matrix in eyes for way in (-1, 1)]
        windows = np.array([face_windows.cut(grey, matrix, EYE) for matrix in eyes])
        points, _ = self._networks["eye"](face_windows.normalised(windows))
        places = [to_picture(*one, EYE) for one in zip(points, eyes, strict=True)]
        for side in (0, 1):
            rows = list(EYE.points) if side == 0 else self.model.mirror[list(EYE.points)]
            xyz[rows, :2] = (places[2 * side] + places[2 * side + 1]) / 2
        window = face_windows.cut(grey, mouth, MOUTH)
        both = np.stack([window, window[:, ::-1]])
        points, _ = self._networks["mouth"](face_windows.normalised(both))
        lips = (points[0] + points[1][self._mirrored_lips] * [-1, 1]) / 2
        xyz[list(MOUTH.points), :2] = to_picture(lips, mouth, MOUTH)
        return Observation(xyz, found.confidence)


def _moved(matrix: Array, by_px: Array) -> Array:
    """A window (2, 3) whose content lies by_px (2,) further right and down."""
    return np.column_stack([matrix[:, :2], matrix[:, 2] + by_px])


def to_picture(points: Array, matrix: Array, kind: WindowKind) -> Array:
    """Points (P, D) in window widths -> picture pixels; matrix: (2, 3) window from picture."""
    linear = np.linalg.inv(matrix[:, :2])
    middle = np.array([kind.width_px - 1, kind.height_px - 1]) / 2
    xy = (points[:, :2] * kind.width_px + middle - matrix[:, 2]) @ linear.T
    if points.shape[1] == 2:
        return xy
    return np.column_stack([xy, points[:, 2] * kind.width_px * np.hypot(*linear[:, 0])])


@cache
def load(path: str | Path | None = None, threads: int = 0) -> dict[str, Network]:
    """The networks of a weights file, or the packaged ones; loaded once.

    threads: of OpenVINO; 0: its own choice, at most 2. Raises InputError when the file is missing,
    damaged, not one of this program's, or lacks a network.
    """
    file = Path(path) if path else WEIGHTS
    if path is None and file.is_file():
        files.expect_sha256("landmark networks", file, WEIGHTS_SHA256)
    sizes, tensors = face_points_file.read_arrays(file)
    if missing := KINDS.keys() - sizes.keys():
        raise InputError(
            f"landmark networks: expected one for each of {', '.join(KINDS)} in {file}, got none"
            f" for {', '.join(sorted(missing))}; join them with python -m calibration.face_points"
        )
    try:
        quiet.openvino()
    except ImportError:
        return _by_torch(file)
    out: dict[str, Network] = {}
    for name, given in sizes.items():
        own = small_file.part(tensors, name)
        graph = _graph(KINDS[name], given, own, BATCH[name])
        request = request_of(graph, threads)
        out[name] = _caller(request, len(KINDS[name].points), given["dimensions"])
    return out


def _caller(request: Any, points: int, dimensions: int) -> Network:
    def run(windows: Array) -> tuple[Array, Array]:
        request.infer([np.ascontiguousarray(windows, np.float32)], share_inputs=True)
        found = request.get_output_tensor(0).data
        return found[:, :-1].reshape(len(found), points, dimensions).copy(), found[:, -1].copy()

    return run


def _graph(
    kind: WindowKind, sizes: Mapping[str, Any], tensors: Mapping[str, Array], batch: int
) -> Any:
    """OpenVINO's model of ``networks.face_points.PointNetwork``; output: points, then the score."""
    ops = quiet.openvino("openvino.opset8")
    source = ops.parameter([batch, 1, kind.height_px, kind.width_px], np.float32, name="windows")

    def convolved(x: Any, conv: str, norm: str, stride: int) -> Any:
        weight, bias = folded(tensors, conv, norm)
        pad = [weight.shape[2] // 2] * 2
        found = ops.convolution(x, ops.constant(weight), [stride] * 2, pad, pad, [1, 1])
        return ops.add(found, ops.constant(bias.reshape(1, -1, 1, 1)))

    x, layer = source, 0
    for i in range(len(sizes["channels"])):
        x = ops.relu(convolved(x, f"features.{layer}", f"features.{layer + 1}", 2))
        layer += 3
        if i > 0:
            body = f"features.{layer}.body"
            inner = ops.relu(convolved(x, f"{body}.0", f"{body}.1", 1))
            x = ops.relu(ops.add(x, convolved(inner, f"{body}.3", f"{body}.4", 1)))
            layer += 1
    x = ops.reshape(x, ops.constant(np.array([batch, -1])), special_zero=False)
    x = ops.relu(_linear(ops, x, tensors["head.1.weight"], tensors["head.1.bias"]))
    # the shape model is one more linear map, so it is multiplied into the last layer
    weight, bias = tensors["head.3.weight"], tensors["head.3.bias"]
    shape = tensors["basis"].T @ weight[:-1]
    start = tensors["basis"].T @ bias[:-1] + tensors["mean"]
    both = np.vstack([shape, weight[-1:]]), np.append(start, bias[-1])
    found = _linear(ops, x, *(part.astype(np.float32) for part in both))
    return quiet.openvino().Model([found], [source], kind.name)


def _linear(ops: Any, x: Any, weight: Array, bias: Array) -> Any:
    found = ops.matmul(x, ops.constant(weight), False, True)
    return ops.add(found, ops.constant(bias[None]))


def _by_torch(file: Path) -> dict[str, Network]:
    extras.expect_runtime("landmark networks")
    import torch

    def caller(net: Any) -> Network:
        def run(windows: Array) -> tuple[Array, Array]:
            with torch.inference_mode():
                points, score = net(torch.from_numpy(np.ascontiguousarray(windows, np.float32)))
            return points.numpy(), score.numpy()

        return run

    return {name: caller(net) for name, net in face_points_file.read(file).items()}
