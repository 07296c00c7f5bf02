"""Pictures on standard input -> MediaPipe's attention mesh, or pose, on standard output.

Runs as a script in the virtual environment of ``attention_mesh``, where this package is not
installed: it imports mediapipe and NumPy only. Requests and answers: see ``attention_mesh``.
"""

from __future__ import annotations

import os
import struct
import sys
from typing import Any, BinaryIO

import numpy as np

GREETING, POSE_GREETING = b"mesh478\n", b"pose33\n"
POSE, POSE_POINTS = "pose", 33
"""The word after the script's name that asks for the pose in place of the mesh."""
_HEADER = struct.Struct("<iii")  # stream, height, width; a height of 0 ends the stream
_POINTS = 478
_LEAST_CONFIDENCE = 0.4


def main() -> int:
    """Answer requests until standard input ends; returns the exit code."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not come between the answers
    if sys.argv[1:] == [POSE]:
        from mediapipe.python.solutions import pose  # pyright: ignore[reportMissingImports]

        make, points, greeting = _pose_of(pose.Pose), _joints, POSE_GREETING
    else:
        from mediapipe.python.solutions import face_mesh  # pyright: ignore[reportMissingImports]

        make, points, greeting = _mesh_of(face_mesh.FaceMesh), _points, GREETING
    answers.write(greeting)
    answers.flush()
    _serve(sys.stdin.buffer, answers, make, points)
    return 0


def _mesh_of(network: Any) -> Any:
    """Makes a network of one stream, whether of still pictures."""
    return lambda still: network(
        static_image_mode=still,
        refine_landmarks=True,
        max_num_faces=1,
        min_detection_confidence=_LEAST_CONFIDENCE,
    )


def _pose_of(network: Any) -> Any:
    return lambda still: network(
        static_image_mode=still,
        model_complexity=1,  # the one that is in the wheel
        min_detection_confidence=_LEAST_CONFIDENCE,
    )


def _serve(requests: BinaryIO, answers: BinaryIO, make: Any, points: Any) -> None:
    streams: dict[int, Any] = {}
    while len(head := requests.read(_HEADER.size)) == _HEADER.size:
        stream, height, width = _HEADER.unpack(head)
        if height == 0:
            if stream in streams:
                streams.pop(stream).close()
            continue
        pixels = requests.read(height * width * 3)
        if len(pixels) < height * width * 3:
            return
        if stream not in streams:
            streams[stream] = make(stream == 0)
        image = np.frombuffer(pixels, np.uint8).reshape(height, width, 3)
        answers.write(points(streams[stream].process(image), height, width).tobytes())
        answers.flush()


def _points(found: Any, height: int, width: int) -> np.ndarray:
    """(478, 3) float32 pixels, NaN without a face; depth has the scale of x."""
    if not found.multi_face_landmarks:
        return np.full((_POINTS, 3), np.nan, np.float32)
    points = found.multi_face_landmarks[0].landmark
    return np.array([(p.x * width, p.y * height, p.z * width) for p in points], "<f4")


def _joints(found: Any, height: int, width: int) -> np.ndarray:
    """(33, 3) float32 x, y in pixels and visibility, NaN without a person."""
    if not found.pose_landmarks:
        return np.full((POSE_POINTS, 3), np.nan, np.float32)
    points = found.pose_landmarks.landmark
    return np.array([(p.x * width, p.y * height, p.visibility) for p in points], "<f4")


if __name__ == "__main__":
    sys.exit(main())
