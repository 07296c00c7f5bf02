"""``from hybridanim import ...``: the public names, and that importing them costs little."""

import os
import subprocess
import sys

import pytest

import hybridanim


def test_the_public_names():
    from hybridanim import InputError, Motion, Pipeline, __version__
    from hybridanim.errors import InputError as SameError
    from hybridanim.motion.motion_file import Motion as SameMotion
    from stages.pipeline import Pipeline as SamePipeline

    assert Motion is SameMotion
    assert Pipeline is SamePipeline and InputError is SameError
    assert set(hybridanim.__all__) == {"InputError", "Motion", "Pipeline", "__version__"}
    assert __version__.count(".") == 2


def test_an_unknown_name_is_refused():
    with pytest.raises(ImportError, match="Pipelin"):
        from hybridanim import Pipelin  # noqa: F401  # pyright: ignore
    assert not hasattr(hybridanim, "pipeline")


def test_the_import_alone_is_light():
    code = "import hybridanim, sys; sys.exit(bool({'cv2', 'numpy', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_linear_algebra_has_one_thread_whatever_is_imported_first():
    for package in ("hybridanim", "apps.live.command", "stages.pipeline", "calibration.skin"):
        code = f"import os, {package}; assert os.environ['OPENBLAS_NUM_THREADS'] == '1'"
        without = {k: v for k, v in os.environ.items() if k != "OPENBLAS_NUM_THREADS"}
        assert subprocess.run([sys.executable, "-c", code], env=without).returncode == 0
