"""``from hybridanim.notebook import Studio``: one sentence where ipywidgets is missing."""

import subprocess
import sys

import pytest

from hybridanim import extras, notebook
from hybridanim.errors import InputError


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"expected the package ipywidgets, found none; pip"):
        _ = notebook.Studio


def test_unknown_names_are_refused():
    assert not hasattr(notebook, "Stduio")


def test_the_module_alone_is_light():
    code = "import hybridanim.notebook, sys; sys.exit(bool({'cv2', 'ipywidgets'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
