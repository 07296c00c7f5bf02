"""The matting network at run time: picture, face -> mask of the person, by OpenVINO or torch.

The graph is built from the weights file directly, with the batch norms folded into the
convolutions, so that no start imports torch. A window and its mirror image are one batch, and the
mask is the mean of both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hybridanim import extras, files, quiet
from hybridanim.face import matte_window
from hybridanim.networks import matte_file
from hybridanim.resampling import smoothstep
from hybridanim.types import Array

from .layers import folded, request_of

WEIGHTS = files.WEIGHTS / "matte.safetensors"
WEIGHTS_SHA256 = "5d43e52dc7ffd3ea92533756ce27546163028bd46875ad8a3e68c4e6d74f1750"
NEAR_HEADS, FAR_HEADS = 2.6, 4.6
"""Side of a window in head boxes: for the head alone, and the most that the network knows."""
_FADE = 0.12  # share of the near window over which the far one takes over

Network = Callable[[Array], Array]
"""Windows (2, 4, n, n) float32 -> masks (2, n, n) float32 in [0, 1]."""


class PersonMatte:
    """Finds the mask of the person whose face is known; no state between calls."""

    def __init__(self, network: Network, window_px: int) -> None:
        """network: see ``Network``; window_px: n, the side of its windows. See ``load``."""
        self._network, self.window_px = network, window_px

    def __call__(
        self, image: Array, center_xy_px: Array, side_px: float, outline_xy: Array
    ) -> Array:
        """Return (S, S) float32 in [0, 1], as coarse as the network's window.

        image: (S, S, 3) uint8 RGB. center_xy_px, side_px: of the head box. outline_xy: (L, 2)
        points round the face, at least three, pixels.
        """
        size = image.shape[0]
        whole = np.full(2, (size - 1) / 2)
        if size <= FAR_HEADS * side_px:
            mask = self._window(image, whole, float(size), outline_xy)
        else:
            mask = self._window(image, center_xy_px, FAR_HEADS * side_px, outline_xy)
        near = NEAR_HEADS * side_px
        if size > 1.25 * near:  # a closer look at the head
            closer = self._window(image, center_xy_px, near, outline_xy)
            away = np.abs(np.arange(size)[:, None] - np.asarray(center_xy_px, float)) / (near / 2)
            inside = smoothstep(np.clip((1 - away) / (2 * _FADE), 0, 1))
            weight = (inside[:, 0][None] * inside[:, 1][:, None]).astype(np.float32)
            mask = weight * closer + (1 - weight) * mask
        return mask

    def _window(self, image: Array, middle_xy: Array, side_px: float, outline_xy: Array) -> Array:
        """The mask by one window; outside it the person goes on downwards only."""
        n, size = self.window_px, image.shape[0]
        matrix = matte_window.window(middle_xy, side_px, n)
        part = _shrunk_window(image, matrix, n)
        outline = np.asarray(outline_xy) @ matrix[:, :2].T + matrix[:, 2]
        face = matte_window.face_shape(outline, n)
        own = matte_window.network_input(part, face)
        both = self._network(np.stack([own, own[..., ::-1]]))
        mask = (both[0] + both[1][:, ::-1]) / 2
        back = cv2.invertAffineTransform(matrix)
        out = cv2.warpAffine(
            np.ascontiguousarray(mask), back, (size, size), borderMode=cv2.BORDER_REPLICATE
        )
        places = (np.arange(size) * matrix[0, 0])[:, None] + matrix[:, 2]
        beside = (places[:, 0] < -1) | (places[:, 0] > n)
        out[:, beside] = 0
        out[places[:, 1] < -1] = 0
        return out


def _shrunk_window(image: Array, matrix: Array, n: int) -> Array:
    """The (n, n, 3) window of a picture without aliasing; edge pixels repeat."""
    zoom = float(matrix[0, 0])
    if zoom < 1:  # the picture at the window's resolution first
        size = max(1, round(image.shape[0] * zoom))
        left = zoom * image.shape[0] / size
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
        shift = matrix[:, 2] + 0.5 * (left - zoom)  # pixel centres lie half a pixel from edges
        matrix = np.array([[left, 0, shift[0]], [0, left, shift[1]]])
    return cv2.warpAffine(
        image, matrix, (n, n), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


@cache
def load(path: str | Path | None = None, threads: int = 0) -> PersonMatte:
    """The network of a weights file, or the packaged one; loaded once.

    threads: of OpenVINO; 0: its own choice, at most 2. Raises InputError when the file is missing,
    damaged, or not one of this program's.
    """
    file = Path(path) if path else WEIGHTS
    if path is None and file.is_file():
        files.expect_sha256("matting network", file, WEIGHTS_SHA256)
    sizes, tensors = matte_file.read_arrays(file)
    n = sizes["window_px"]
    try:
        quiet.openvino()
    except ImportError:
        return PersonMatte(_by_torch(file), n)
    request = request_of(_graph(sizes, tensors), threads)

    def run(windows: Array) -> Array:
        request.infer([np.ascontiguousarray(windows, np.float32)], share_inputs=True)
        return request.get_output_tensor(0).data[:, 0].copy()

    return PersonMatte(run, n)


def _graph(sizes: Mapping[str, Any], tensors: Mapping[str, Array]) -> Any:
    """OpenVINO's model of ``networks.matte.MatteNetwork`` and its sigmoid, of a batch of two."""
    ops = quiet.openvino("openvino.opset13")
    n, levels = sizes["window_px"], len(sizes["channels"])
    source = ops.parameter([2, sizes["inputs"], n, n], np.float32, name="windows")

    def convolved(x: Any, conv: str, norm: str, stride: int = 1) -> Any:
        weight, bias = folded(tensors, conv, norm)
        pad = [weight.shape[2] // 2] * 2
        found = ops.convolution(x, ops.constant(weight), [stride] * 2, pad, pad, [1, 1])
        return ops.add(found, ops.constant(bias.reshape(1, -1, 1, 1)))

    def doubled(x: Any, side: int) -> Any:
        size, axes = (ops.constant(np.array(two, np.int64)) for two in ([side, side], [2, 3]))
        return ops.interpolate(x, size, "linear_onnx", "sizes", axes=axes)  # half-pixel centres

    found = [source]
    for i in range(levels):
        at, body = f"down.{i}", f"down.{i}.3.body"
        x = ops.relu(convolved(found[-1], f"{at}.0", f"{at}.1", 2))
        inner = ops.relu(convolved(x, f"{body}.0", f"{body}.1"))
        found.append(ops.relu(ops.add(x, convolved(inner, f"{body}.3", f"{body}.4"))))
    x = found.pop()
    for i in reversed(range(levels - 1)):
        joined = ops.concat([doubled(x, n >> (i + 1)), found.pop()], 1)
        x = ops.relu(convolved(joined, f"up.{i}.0", f"up.{i}.1"))
    x = ops.concat([doubled(x, n), found.pop()], 1)
    x = ops.relu(convolved(x, "last.0", "last.1"))
    x = ops.convolution(x, ops.constant(tensors["last.3.weight"]), [1, 1], [0, 0], [0, 0], [1, 1])
    x = ops.add(x, ops.constant(tensors["last.3.bias"].reshape(1, -1, 1, 1)))
    return quiet.openvino().Model([ops.sigmoid(x)], [source], "matte")


def _by_torch(file: Path) -> Network:
    extras.expect_runtime("matting network")
    import torch

    net = matte_file.read(file)

    def run(windows: Array) -> Array:
        with torch.inference_mode():
            found = torch.sigmoid(net(torch.from_numpy(np.ascontiguousarray(windows, np.float32))))
        return found[:, 0].numpy()

    return run
