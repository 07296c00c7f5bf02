"""Which cameras this machine has, and what else a live run may use of it."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from hybridanim.live.camera import CameraError, Device
from hybridanim.live.window import DisplayCheck

_MOST_PROBED = 6
_V4L = Path("/sys/class/video4linux")


@dataclass(frozen=True, slots=True)
class Found:
    """One camera: the number for --camera, and what it calls itself."""

    number: int
    name: str
    size_px: tuple[int, int] | None = None  # width, height; None = not opened


def list_cameras(system: str = platform.system(), v4l: Path = _V4L) -> list[Found]:
    """The cameras, by number. Linux tells their names; elsewhere the first few are opened."""
    return _from_v4l(v4l) if system == "Linux" else _by_opening()


def _from_v4l(v4l: Path) -> list[Found]:
    """Those of /sys; a device's further nodes (index above 0) carry no pictures."""
    found = []
    for folder in v4l.glob("video*") if v4l.is_dir() else ():
        number = folder.name.removeprefix("video")
        index = _text(folder / "index")
        if number.isdecimal() and index in ("", "0"):
            found.append(Found(int(number), _text(folder / "name") or folder.name))
    return sorted(found, key=lambda one: one.number)


def _by_opening() -> list[Found]:
    found = []
    for number in range(_MOST_PROBED):
        device = Device(number, (640, 480), 30)
        try:
            device.open()
            shot = device.read()
        except CameraError:
            if number > 1 and not found:
                break  # numbers have gaps, but rarely at the beginning
            continue
        finally:
            device.close()
        if shot is not None:
            height, width = shot.image.shape[:2]
            found.append(Found(number, f"camera {number}", (width, height)))
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def lines(found: list[Found]) -> list[str]:
    """For people: one camera a line, or what to do when there is none."""
    if not found:
        return [
            "Cameras: none; plug one in (in a virtual machine or container, pass it through),"
            " or give live --camera FILE"
        ]
    return ["Cameras:", *(_line(one) for one in found)]


def _line(one: Found) -> str:
    size = f", {one.size_px[0]}x{one.size_px[1]}" if one.size_px else ""
    return f"  --camera {one.number}  {one.name}{size}"


def report() -> list[str]:
    """For doctor: cameras, window and virtual camera, with what to do about what is missing."""
    reason = DisplayCheck().reason()
    window = "can be opened" if not reason else f"none, {reason}; use live --serve 8080"
    has_virtual = find_spec("pyvirtualcam") is not None
    virtual = "pyvirtualcam is there" if has_virtual else "for it, pip install pyvirtualcam"
    return [*lines(list_cameras()), f"Window: {window}", f"Virtual camera: {virtual}"]
