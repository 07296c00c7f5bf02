"""Runtime of the learned networks on this machine, as lines of text for ``doctor``.

Loads the package's networks as a run does, so the first call exports them. For each missing part
the text says what to do.
"""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path

from hybridanim import files
from hybridanim.config import RuntimeConfig
from hybridanim.errors import InputError
from hybridanim.networks.weights import DETECTOR, RENDERER

from . import cache, networks

_FEATURES = {  # flag of /proc/cpuinfo: its use
    "avx2": "eight floats at once",
    "avx512f": "sixteen floats at once",
    "avx_vnni": "eight-bit networks",
    "avx512_vnni": "eight-bit networks",
    "avx512_bf16": "bfloat16 networks",
    "amx_int8": "eight-bit networks, much faster",
    "amx_bf16": "bfloat16 networks, much faster",
}


def report(config: RuntimeConfig | None = None) -> list[str]:
    """Processor features, runtime of each network, state of the cache."""
    config = config or RuntimeConfig()
    return [_features(), *_runtimes(config), _cache(config)]


def _features() -> str:
    listed = Path("/proc/cpuinfo")
    flags = set(listed.read_text().split()) if listed.is_file() else set()
    found = [name for name in _FEATURES if name in flags]
    if not flags:
        return "Processor features for networks: not listed by the system, OpenVINO detects them"
    return f"Processor features for networks: {', '.join(found) or 'none beyond the least'}"


def _runtimes(config: RuntimeConfig) -> list[str]:
    lines = []
    loads = (
        ("renderer", RENDERER.path, networks.animator),
        ("detector", DETECTOR.path, networks.detector),
    )
    for name, path, load in loads:
        if not path.is_file():
            lines.append(f"Network {name}: {path} is missing; reinstall hybridanim")
            continue
        try:
            info = load(None, config).runtime_info
        except InputError as error:
            lines.append(f"Network {name}: {error}")
            continue
        lines.append(f"Network {name}: {info}")
        lines += [f"  {note}" for note in (info.notes if info else ())]
    if importlib.util.find_spec("openvino") is None:
        lines.append("OpenVINO is missing, torch is half as fast: pip install openvino")
    return lines


def _cache(config: RuntimeConfig) -> str:
    folder = config.cache or files.cache_folder()
    if folder is None:
        return (
            "Compiled networks: not kept, this user has no home folder, so each start takes"
            " seconds longer; choose a folder with --cache"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return (
            f"Compiled networks: {folder} cannot be written ({error.strerror}), so each start"
            " takes seconds longer; choose another folder with --cache"
        )
    count, size = cache.state(folder)
    return f"Compiled networks: {count} in {folder}, {size / 1e6:.1f} MB; may be deleted"
