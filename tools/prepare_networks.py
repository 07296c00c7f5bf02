"""Write hybridanim/weights/prepared.safetensors anew, after a change of the shipped networks.

``python -m tools.prepare_networks`` prints the SHA-256, which belongs into runtime/prepared.py and
the file's card.
"""

from __future__ import annotations

from hybridanim import files, quiet
from hybridanim.networks.weights import DETECTOR, RENDERER, read_tensors, read_weights
from hybridanim.runtime import graphs, models, openvino_backend, prepared
from hybridanim.runtime.prepared import Prepared


def found() -> dict[str, Prepared]:
    """Of the shipped networks: ranges by OpenVINO in float32, results by torch in float32."""
    core = quiet.openvino().Core()
    animator, detector = read_tensors(RENDERER.checked()), read_tensors(DETECTOR.checked())
    assert animator.sizes and animator.animator and detector.detector_sizes and detector.detector
    built = {
        RENDERER: models.animator(animator.sizes, animator.animator),
        DETECTOR: models.detector(detector.detector_sizes, detector.detector),
    }
    net, detector_net = read_weights(RENDERER.path).animator, read_weights(DETECTOR.path).detector
    assert net is not None and detector_net is not None
    torch = {
        RENDERER: graphs.animator_graphs(net),
        DETECTOR: graphs.detector_graphs(detector_net),
    }
    return {
        file.sha256: Prepared(openvino_backend.ranges(core, own), graphs.results(torch[file]))
        for file, own in built.items()
    }


def main() -> None:
    """Write the file."""
    prepared.write(found(), prepared.FILE.path)
    print(f"{prepared.FILE.path}: {files.sha256(prepared.FILE.path)}")


if __name__ == "__main__":
    main()
