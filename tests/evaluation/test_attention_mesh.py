"""The mesh's process: its answers, streams and errors, with a face mesh that is made up."""

import io
import os
import signal
import struct
import sys
import textwrap

import numpy as np
import pytest

from hybridanim.errors import InputError
from hybridanim.evaluation import attention_mesh, attention_mesh_worker
from hybridanim.evaluation.attention_mesh import AttentionMesh, MeshError

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the environment is a POSIX one")

FAKE = '''
"""Stands for mediapipe: the points tell the picture's mean, the mode, and the pictures so far."""
import os, subprocess
from types import SimpleNamespace as Bag

class FaceMesh:
    def __init__(self, static_image_mode, **others):
        wanted = dict(refine_landmarks=True, max_num_faces=1, min_detection_confidence=0.4)
        assert others == wanted
        self.still, self.count = static_image_mode, 0
        print("a library that prints", flush=True)

    def process(self, image):
        if image[0, 0, 0] == 13:
            os._exit(3)
        if image[0, 0, 0] == 17:
            child = subprocess.Popen(["sleep", "600"])  # holds the pipes open
            child.wait()
        self.count += 1
        if image.mean() < 4:
            return Bag(multi_face_landmarks=None)
        point = Bag(x=float(image.mean()) / 256, y=self.count / 64, z=1.0 if self.still else 0.5)
        return Bag(multi_face_landmarks=[Bag(landmark=[point] * 478)])

    def close(self):
        pass
'''


def make_environment(folder, module=FAKE):
    """A folder like a virtual environment, whose mediapipe is ``module``."""
    package = folder / "lib" / "mediapipe" / "python" / "solutions"
    package.mkdir(parents=True)
    for place in (package, package.parent, package.parent.parent):
        (place / "__init__.py").touch()
    (package / "face_mesh.py").write_text(textwrap.dedent(module))
    (folder / "bin").mkdir()
    python = folder / "bin" / "python"
    start = f"import sys, runpy; sys.path.insert(0, {str(folder / 'lib')!r});"
    start += "sys.argv = sys.argv[2:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{start}" "$@"\n')
    python.chmod(0o755)
    return folder


@pytest.fixture
def environment(tmp_path):
    return make_environment(tmp_path / "environment")


def picture(grey, height=16, width=24):
    return np.full((height, width, 3), grey, np.uint8)


def test_points_are_pixels_of_the_picture(environment):
    with AttentionMesh(environment) as mesh:
        points = mesh(picture(128))
        assert points is not None and points.shape == (478, 3) and points.dtype == np.float32
        # x, y, z = 1/2 of the width, 1/64 of the height, the whole width
        np.testing.assert_allclose(points, np.tile([12.0, 0.25, 24.0], (478, 1)))
        assert mesh(picture(0)) is None


def test_streams_go_on_and_end_by_themselves(environment):
    with AttentionMesh(environment) as mesh:

        def count(stream):
            points = mesh(picture(50, 64, 64), stream)
            assert points is not None
            return points[0, 1], points[0, 2] / 64

        assert [count(stream) for stream in (1, 1, 2, 0, 1)] == [
            (1, 0.5),
            (2, 0.5),
            (1, 0.5),
            (1, 1.0),  # still
            (3, 0.5),
        ]
        mesh.end(1)
        assert count(1) == (1, 0.5) and count(2) == (2, 0.5)


def test_rows_and_columns_keep_their_places():
    """The worker itself: a picture that is not contiguous arrives as it looks."""
    seen = []

    class Fake:
        def __init__(self, **_):
            pass

        def process(self, image):
            seen.append(image.copy())
            return type("Found", (), {"multi_face_landmarks": None})()

    image = np.random.default_rng(0).integers(0, 255, (5, 7, 3), np.uint8)
    answers = io.BytesIO()
    request = struct.pack("<iii", 1, 5, 7) + image.tobytes()
    worker = attention_mesh_worker
    make, points = worker._mesh_of(Fake), worker._points
    worker._serve(io.BytesIO(request + request[:20]), answers, make, points)
    assert len(seen) == 1 and np.array_equal(seen[0], image)  # half a request is none
    points = np.frombuffer(answers.getvalue(), np.float32)
    assert points.size == 478 * 3 and np.isnan(points).all()


def test_a_process_that_dies_is_an_error_with_its_last_words(environment, tmp_path):
    with (
        AttentionMesh(environment) as mesh,
        pytest.raises(MeshError, match="that prints"),
    ):
        mesh(picture(13))
        mesh(picture(13))
    broken = make_environment(tmp_path / "broken", "raise ImportError('no mediapipe here')")
    with AttentionMesh(broken) as mesh, pytest.raises(InputError, match="no mediapipe here"):
        mesh.wait()


@pytest.mark.parametrize(("height", "width"), [(16, 24), (700, 700)])  # less and more than a pipe
def test_a_process_that_hangs_is_killed(environment, height, width):
    with AttentionMesh(environment, limit_s=0.2) as mesh:
        mesh.wait()
        with pytest.raises(MeshError, match=r"within 0\.2 s, got none; allow"):
            mesh(picture(17, height, width))
        assert mesh._process.returncode == -signal.SIGKILL
        with pytest.raises(MeshError):  # there is no process any more
            mesh(picture(50))


def test_networks_that_never_load_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(attention_mesh, "_LOAD_S", 0.2)
    hanging = make_environment(tmp_path / "hanging", "import time; time.sleep(600)")
    with AttentionMesh(hanging) as mesh, pytest.raises(MeshError, match=r"within 0\.2 s"):
        mesh.wait()


def test_answers_that_are_none_end_the_process(tmp_path):
    """Standard output says something else, and the process goes on."""
    module = """
import os, time
for number in range(3, 10):
    try: os.write(number, b"x" * 100)
    except OSError: pass
time.sleep(600)
"""
    strange = make_environment(tmp_path / "strange", module)
    with AttentionMesh(strange) as mesh, pytest.raises(MeshError, match="expected a Python"):
        mesh.wait()


def test_closing_waits_for_no_process_that_hangs(environment, monkeypatch):
    monkeypatch.setattr(attention_mesh, "_END_S", 0.1)
    mesh = AttentionMesh(environment)
    mesh.wait()
    mesh._process.stdin.write(struct.pack("<iii", 0, 8, 8) + picture(17, 8, 8).tobytes())
    mesh.close()
    assert mesh._process.returncode == -signal.SIGKILL


def test_a_folder_that_is_no_environment_is_refused(tmp_path):
    with pytest.raises(MeshError, match="--install"):
        AttentionMesh(tmp_path)
    (tmp_path / "mine.txt").touch()
    with pytest.raises(MeshError, match="of its own"):
        attention_mesh.install(tmp_path)  # it is somebody's folder
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_what_is_installed_is_left_as_it_is(environment, monkeypatch):
    words = []
    (environment / "pyvenv.cfg").touch()

    def run(arguments, **_):
        words.append([str(word) for word in arguments])
        return type("Done", (), {"returncode": int("-c" in words[-1]), "stderr": ""})()

    monkeypatch.setattr(attention_mesh.subprocess, "run", run)
    attention_mesh.install(environment)
    assert "mediapipe==0.10.21" in words[-1] and "pip" in words[-1]
    words.clear()
    monkeypatch.setattr(
        attention_mesh.subprocess,
        "run",
        lambda *_, **__: words.append(1) or type("Done", (), {"returncode": 0})(),
    )
    attention_mesh.install(environment)
    assert words == [1]  # the check alone
