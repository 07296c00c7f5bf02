"""The learned networks run by OpenVINO, from models that are built and compiled once and cached.

Weights file -> ``OpenVinoAnimator`` or ``OpenVinoDetector``, numpy in and out (``base``), without
torch. What was compiled is checked against results in float32, and a precision that fails the
check is replaced by the next one. A failure of another precision than float32 is kept in the cache
too, so that it is tried once.
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
from hybridanim.networks import first_order_file
from hybridanim.networks.models import FIRST_ORDER
from hybridanim.networks.weights import read_header, read_tensors
from hybridanim.types import Array, Keypoints, LearnedFeatures, OpticalFlow

from . import cache, first_order_models, int8, models, prepared, sample_inputs, verify
from .base import Moved, RuntimeInfo, not_finite, optical_input
from .first_order import FirstOrderAnimator

_STILL = np.eye(2, 3, dtype=np.float32)
MOST_THREADS = 8  # more threads only wait for each other on such small graphs
_GRAPH_CODE = (
    *("networks/constants", "networks/sizes", "runtime/models", "runtime/layers"),
    *("runtime/sample_inputs", "runtime/int8", "runtime/verify", "runtime/prepared"),
    *("networks/first_order_file", "runtime/first_order_models"),
)
_FAST = {  # part -> precisions to try before float32
    "animator": ("int8", "bf16"),
    "detector": ("bf16", "int8"),
    f"{FIRST_ORDER} animator": ("bf16",),
    f"{FIRST_ORDER} detector": (),
}
_PLACES = ("move", "detect")  # graphs of the first-order model that bfloat16 is too coarse for


def load(part: str, path: Path, config: RuntimeConfig, notes: list[str]) -> Any | None:
    """Load ``animator`` or ``detector`` of a weights file; None, with a note, on failure."""
    try:
        openvino = quiet.openvino()
    except ImportError as error:
        notes.append(f"OpenVINO is not there ({error}), so torch runs: pip install openvino")
        return None
    core = openvino.Core()
    is_first_order = read_header(path).model == FIRST_ORDER
    which = f"{FIRST_ORDER} {part}" if is_first_order else part
    for precision in precisions(core, which, config.precision):
        compiled, is_cached = _compiled(core, part, path, precision, config, notes)
        if compiled is None:
            continue
        info = RuntimeInfo("openvino", precision, is_cached, tuple(notes))
        if part == "detector":
            return OpenVinoDetector(compiled, info)
        if is_first_order:
            return FirstOrderAnimator({k: Request(v) for k, v in compiled.items()}, info)
        return OpenVinoAnimator(compiled, info)
    return None


def precisions(core: Any, part: str, wanted: str) -> list[str]:
    """Precisions to try, best first: the chosen one, or those that are fast on this processor.

    bfloat16 is too coarse for the animator's flow, eight bits make the detector's positions jitter;
    each still prefers the other of the two to float32 (docs/guide/runtime.md). Of the first-order
    model flow and positions are always in float32, the generator in bfloat16 where that is fast.
    """
    if wanted != "auto":
        return [wanted]
    able = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return [*(name for name in _FAST[part] if name.upper() in able), "f32"]


def cache_file(
    core: Any, part: str, path: Path, precision: str, config: RuntimeConfig
) -> Path | None:
    """Cache file of the compiled graphs; named by weights, code, precision, version, machine.

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
        *sorted(str(item) for item in _settings(precision, 1).items()),  # any number of threads
        quiet.openvino().get_version(),
        core.get_property("CPU", "FULL_DEVICE_NAME"),
        " ".join(sorted(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))),
    ]
    return cache.file_for(folder, part, depends_on)


def _settings(precision: str, threads: int) -> dict[str, Any]:
    """Settings of a graph."""
    return {
        # int8 concerns the convolutions; all other operations stay in float32
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads or min(os.cpu_count() or 1, MOST_THREADS),
        # other stages and the encoder run at the same time: 39 ms instead of 53 with another load
        "ENABLE_CPU_PINNING": False,
    }


def _compiled(
    core: Any, part: str, path: Path, precision: str, config: RuntimeConfig, notes: list[str]
) -> tuple[dict[str, Any] | None, bool]:
    """Graph name -> compiled model, and whether these came from the cache."""
    file = cache_file(core, part, path, precision, config)
    kept = None if file is None else cache.read(file)
    reason = None if kept is None else cache.failure(kept)
    if reason is not None:
        notes.append(f"{reason} (found at an earlier start; deleting {file} tries again)")
        return None, False
    if kept is not None:
        try:
            settings = {k: _settings_of(k, path, precision, config.threads) for k in kept}
            found = {k: core.import_model(v, "CPU", settings[k]) for k, v in kept.items()}
        except RuntimeError:  # intact, but unreadable for this OpenVINO: built again below
            pass
        else:
            return found, True
    before = len(notes)
    compiled = _built(core, part, path, precision, notes, threads=config.threads)
    if compiled is None and file is not None and precision != "f32":
        cache.write_failure(file, " ".join(notes[before:]))
    if compiled is not None and file is not None:
        cache.write(file, {k: _bytes(v.export_model()) for k, v in compiled.items()})
    return compiled, False


def _built(
    core: Any, part: str, path: Path, precision: str, notes: list[str], *, threads: int
) -> dict[str, Any] | None:
    """Build, compile and check; None, with a note, when the check fails.

    Raises InputError when the weights give results that are not finite.
    """
    built, known = _models(part, path)
    shapes = {
        name: {k: tuple(port.shape) for k, port in _ports(model.inputs).items()}
        for name, model in built.items()
    }
    try:
        wanted = _watched(core, built, shapes, path) if known is None else known.results
        own = built
        if precision == "int8":
            wide = ranges(core, built) if known is None else known.ranges
            own = {k: int8.quantised(m, wide[k]) if k in wide else m for k, m in built.items()}
        out = {
            name: core.compile_model(model, "CPU", _settings_of(name, path, precision, threads))
            for name, model in own.items()
        }
        requests = {name: Request(model) for name, model in out.items()}
        found = verify.results(shapes, lambda name, inputs: requests[name](inputs))
    except RuntimeError as error:
        notes.append(f"OpenVINO cannot compile {path.name}: {str(error).splitlines()[0]}")
        return None
    wrong = verify.failure(wanted, found, precision)
    if wrong:
        notes.append(f"OpenVINO's {part} in {precision} is not used: {wrong}")
        return None
    return out


def _models(part: str, path: Path) -> tuple[dict[str, Any], prepared.Prepared | None]:
    """The models of a file's part, and what is known of the shipped ones."""
    header = read_header(path)
    if header.model == FIRST_ORDER:
        sizes, own = first_order_file.read(path, header.sizes)
        make = first_order_models.animator if part == "animator" else first_order_models.detector
        return make(sizes, own), None
    tensors = read_tensors(path)
    known = prepared.of_weights(tensors.sha256)
    if part == "animator" and tensors.animator is not None and tensors.sizes is not None:
        return models.animator(tensors.sizes, tensors.animator), known
    # checked by networks._load
    assert tensors.detector is not None and tensors.detector_sizes is not None
    return models.detector(tensors.detector_sizes, tensors.detector), known


def _settings_of(graph: str, path: Path, precision: str, threads: int) -> dict[str, Any]:
    """Settings of one graph of a file."""
    is_exact = graph in _PLACES and read_header(path).model == FIRST_ORDER
    return _settings("f32" if is_exact else precision, threads)


def _watched(
    core: Any, built: dict[str, Any], shapes: verify.Inputs, path: Path
) -> dict[str, Array]:
    """Results in float32 to compare with, of weights for which torch's are not known.

    Every convolution's input is an output here, so OpenVINO can fuse little of the model.
    """
    watches = {name: int8.Watch(core, model) for name, model in built.items()}
    found = verify.results(shapes, lambda name, inputs: watches[name](inputs))
    if wrong := [name for name, watch in watches.items() if not watch.is_finite]:
        raise not_finite(path, f"inf or not-a-number in {', '.join(wrong)}")
    return found


def ranges(core: Any, built: dict[str, Any]) -> dict[str, dict[str, int8.Range]]:
    """Measure for int8: graph -> convolution -> range of its input.

    Without ``encode``, which runs once per source, in float32. built: of ``models``.
    """
    sizes = {k: list(v.shape) for m in built.values() for k, v in _ports(m.inputs).items()}
    count = sizes["source_xy"][1] if "source_xy" in sizes else 1
    known = [s.inputs() for s in sample_inputs.calibration(sizes["picture"][2], count)]
    out = {}
    for name, model in built.items():
        watch, wanted = int8.Watch(core, model), _ports(model.inputs)
        known = [sample | watch({k: sample[k] for k in wanted}) for sample in known]
        if name != "encode":
            out[name] = watch.ranges
    return out


def _bytes(exported: Any) -> bytes:
    return exported if isinstance(exported, bytes) else exported.getvalue()


class Request:
    """One graph ready to run; its output arrays are valid until the next call."""

    def __init__(self, model: Any) -> None:
        self._request = model.create_infer_request()
        self._names = list(_ports(model.outputs))
        self.inputs = {name: tuple(port.shape) for name, port in _ports(model.inputs).items()}

    def __call__(self, inputs: dict[str, Array]) -> dict[str, Array]:
        """Run the graph: input name -> array to output name -> array."""
        self._request.infer(inputs, share_inputs=True)
        return {name: self._request.get_tensor(name).data for name in self._names}


def _ports(ports: Any) -> dict[str, Any]:
    """Ports by the graph's own names; compiling adds numbers as further names."""
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
        found = {
            name: value.copy() for name, value in found.items()
        }  # the next call overwrites these
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
