"""A weights file of the package with something else in it, for tests of how it is refused."""

import json

from safetensors import safe_open
from safetensors.numpy import load_file, save_file


def changed(weights, folder, change):
    """A copy of a file; change(tensors, table, sizes): in place, of its metadata and sizes."""
    tensors = load_file(weights)
    with safe_open(weights, "numpy") as opened:
        table = dict(opened.metadata())
    sizes = json.loads(table["sizes"])
    change(tensors, table, sizes)
    table["sizes"] = json.dumps(sizes)
    file = folder / "changed.safetensors"
    save_file(tensors, file, table)
    return file
