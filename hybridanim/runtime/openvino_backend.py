"""The learned networks run by OpenVINO, from graphs that are exported once and kept compiled.

Weights file -> ``OpenVinoAnimator`` or ``OpenVinoDetector``, numpy in and out (``base``).
Only an export imports torch; every export is checked against the network in float32, and a
precision that fails the check gives way to the next one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hybridanim import files, quiet
from hybridanim.config import RuntimeConfig
from hybridanim.types import Array, Keypoints, LearnedFeatures, OpticalFlow

from . import cache
from .base import Moved, RuntimeInfo, optical_input

_STILL = np.eye(2, 3, dtype=np.float32)
MOST_THREADS = 8  # more only wait for each other on graphs as small as these
_GRAPH_CODE = (
    *(f"networks/{name}" for name in ("blocks", "build", "dense_motion", "generator")),
    *("networks/keypoint_detector", "networks/mouth_eye_masks"),
    *("runtime/graphs", "runtime/sample_inputs", "runtime/int8"),
)


def load(part: str, path: Path, config: RuntimeConfig, notes: list[str]) -> Any | None:
    """``animator`` or ``detector`` of a weights file; None, with a note, where that fails."""
    try:
        openvino = quiet.openvino()
    except ImportError as error:
        notes.append(f"OpenVINO is not there ({error}), so torch runs: pip install openvino")
        return None
    core = openvino.Core()
    for precision in precisions(core, part, config.precision):
        compiled, is_cached = _compiled(core, part, path, precision, config, notes)
        if compiled is not None:
            info = RuntimeInfo("openvino", precision, is_cached, tuple(notes))
            return (OpenVinoAnimator if part == "animator" else OpenVinoDetector)(compiled, info)
    return None


def precisions(core: Any, part: str, wanted: str) -> list[str]:
    """What to try, best first: the one that is asked for, or those that are fast here.

    The animator's flow is lost in bfloat16, the detector's places tremble in eight bits; both take
    the other one rather than float32 (docs/guide/runtime.md).
    """
    if wanted != "auto":
        return [wanted]
    able = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    fast = ["int8", "bf16"] if part == "animator" else ["bf16", "int8"]
    return [*(name for name in fast if name.upper() in able), "f32"]


def cache_file(
    core: Any, part: str, path: Path, precision: str, config: RuntimeConfig
) -> Path | None:
    """The file of the compiled graphs: its name covers weights, code, precision, version, machine.

    None where there is no folder for it.
    """
    folder = config.cache or files.cache_folder()
    if folder is None:
        return None
    package = files.PACKAGE
    code = [files.sha256(package / f"{name}.py") for name in _GRAPH_CODE]
    depends_on = [
        precision,
        files.sha256(path),
        *code,
        *sorted(str(item) for item in _settings(precision, 1).items()),  # fits any number of them
        quiet.openvino().get_version(),
        core.get_property("CPU", "FULL_DEVICE_NAME"),
        " ".join(sorted(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))),
    ]
    return cache.file_for(folder, part, depends_on)


def _settings(precision: str, threads: int) -> dict[str, Any]:
    return {
        # int8 concerns the convolutions; what is between them stays exact
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads or min(os.cpu_count() or 1, MOST_THREADS),
        # the stages before and the encoder run beside it: 39 ms against 53 with a busy neighbour
        "ENABLE_CPU_PINNING": False,
    }


def _compiled(
    core: Any, part: str, path: Path, precision: str, config: RuntimeConfig, notes: list[str]
) -> tuple[dict[str, Any] | None, bool]:
    """Graph name -> compiled model, and whether that came out of the cache."""
    file = cache_file(core, part, path, precision, config)
    settings = _settings(precision, config.threads)
    kept = None if file is None else cache.read(file)
    if kept is not None:
        try:
            found = {k: core.import_model(v, "CPU", settings) for k, v in kept.items()}
        except RuntimeError:  # whole, but not what this OpenVINO reads: made anew below
            pass
        else:
            return found, True
    compiled = _exported(core, part, path, precision, notes, threads=config.threads)
    if compiled is not None and file is not None:
        cache.write(file, {k: _bytes(v.export_model()) for k, v in compiled.items()})
    return compiled, False


def _exported(
    core: Any, part: str, path: Path, precision: str, notes: list[str], *, threads: int
) -> dict[str, Any] | None:
    """Export, compile and check; None, with a note, when the check fails."""
    from hybridanim.networks.weights import read_weights

    from . import graphs as export  # import torch
    from . import verify

    weights = read_weights(path)
    if part == "animator" and weights.animator is not None:
        graphs = export.animator_graphs(weights.animator)
    else:
        assert weights.detector is not None  # networks._load has looked
        graphs = export.detector_graphs(weights.detector)
    try:
        models = {graph.name: export.to_openvino(graph) for graph in graphs}
        if precision == "int8":
            models = _in_int8(core, models)
        settings = _settings(precision, threads)
        compiled = {k: core.compile_model(v, "CPU", settings) for k, v in models.items()}
    except RuntimeError as error:
        notes.append(f"OpenVINO cannot compile {path.name}: {str(error).splitlines()[0]}")
        return None
    requests = {name: Request(model) for name, model in compiled.items()}
    wrong = verify.failure(graphs, lambda name, inputs: requests[name](inputs), precision)
    if wrong:
        notes.append(f"OpenVINO's {part} in {precision} is not used: {wrong}")
        return None
    return compiled


def _in_int8(core: Any, models: dict[str, Any]) -> dict[str, Any]:
    """The models with eight-bit convolutions, but for ``encode``, which runs once per source."""
    from . import int8, sample_inputs

    sizes = {k: list(v.shape) for m in models.values() for k, v in _ports(m.inputs).items()}
    count = sizes["source_xy"][1] if "source_xy" in sizes else 1
    known = [s.inputs() for s in sample_inputs.calibration(sizes["picture"][2], count)]
    out = {}
    for name, model in models.items():
        wanted = _ports(model.inputs)
        inputs = [{k: sample[k] for k in wanted} for sample in known]
        ranges, said = int8.measure(core, model, inputs)
        known = [sample | more for sample, more in zip(known, said, strict=True)]
        out[name] = model if name == "encode" else int8.quantised(model, ranges)
    return out


def _bytes(exported: Any) -> bytes:
    return exported if isinstance(exported, bytes) else exported.getvalue()


class Request:
    """One graph ready to run; the arrays that it gives are valid until it runs again."""

    def __init__(self, model: Any) -> None:
        self._request = model.create_infer_request()
        self._names = list(_ports(model.outputs))
        self.inputs = {name: tuple(port.shape) for name, port in _ports(model.inputs).items()}

    def __call__(self, inputs: dict[str, Array]) -> dict[str, Array]:
        """Name -> array, in and out."""
        self._request.infer(inputs, share_inputs=True)
        return {name: self._request.get_tensor(name).data for name in self._names}


def _ports(ports: Any) -> dict[str, Any]:
    """By the graph's own names; compiling adds numbers as further names."""
    return {min(n for n in port.get_names() if not n.isdecimal()): port for port in ports}


class OpenVinoAnimator:
    """``base.AnimatorNetworks`` by OpenVINO."""

    def __init__(self, models: dict[str, Any], info: RuntimeInfo) -> None:
        self.runtime_info = info
        self._encode, self._move, self._paint = (
            Request(models[name]) for name in ("encode", "move", "paint")
        )
        self.side_px = self._encode.inputs["picture"][2]
        self.uses_optical_flow = "optical" in self._move.inputs
        self._no_flow = np.zeros(self._move.inputs.get("optical", ()), np.float32)

    def encode(self, picture: Array) -> dict[str, Array]:
        """Encode a source; see ``base.AnimatorNetworks``."""
        inputs = {"picture": _batch(picture)}
        return inputs | {name: value.copy() for name, value in self._encode(inputs).items()}

    def move(
        self,
        encoded: Mapping[str, Array],
        source: Keypoints,
        target: Keypoints,
        background: Array | None = None,
        optical: OpticalFlow | None = None,
    ) -> Moved:
        """Compute one frame's motion; see ``base.AnimatorNetworks``."""
        given = self._no_flow
        if optical is not None and self.uses_optical_flow:
            given = optical_input(optical, self.side_px)
        found = self._move(
            ({"optical": given} if self.uses_optical_flow else {})
            | {
                "small": encoded["small"],
                "source_xy": source.xy_norm[None],
                "source_jacobian": source.jacobian[None],
                "target_xy": target.xy_norm[None],
                "target_jacobian": target.jacobian[None],
                "background": (_STILL if background is None else background)[None],
            }
        )
        found = {name: value.copy() for name, value in found.items()}  # a later frame comes
        flow, occlusion, masks = found["flow"][0], found["occlusion"][0, 0], found["masks"][0]
        return Moved(flow, occlusion, masks, LearnedFeatures(encoded, found))

    def paint(self, features: LearnedFeatures) -> tuple[Array, Array]:
        """Paint one frame; see ``base.AnimatorNetworks``."""
        found = self._paint(
            {name: features.source[name] for name in ("picture", "deep", "fine")}
            | {name: features.motion[name] for name in ("flow", "occlusion", "features")}
        )
        paint = cv2.merge(list(found["paint"][0]))
        return cv2.convertScaleAbs(paint, alpha=255), found["alpha"][0, 0].copy()


class OpenVinoDetector:
    """``base.DetectorNetwork`` by OpenVINO."""

    def __init__(self, models: dict[str, Any], info: RuntimeInfo) -> None:
        self.runtime_info = info
        self._detect = Request(models["detect"])

    def __call__(self, picture: Array) -> tuple[Array, Array, Array]:
        """(1, 3, S, S) in [0, 1] -> xy (1, K, 2), Jacobians (1, K, 2, 2), spread (1, K)."""
        found = self._detect({"picture": picture})
        return found["xy"].copy(), found["jacobian"].copy(), found["spread"].copy()


def _batch(picture: Array) -> Array:
    """(1, 3, H, W) float32 in [0, 1]."""
    return np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32) * np.float32(1 / 255)
