"""Which cameras this machine has, and whether windows and a virtual camera are available."""

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
class FoundCamera:
    """One camera: the number for --camera, and what it calls itself."""

    number: int
    name: str
    size_px: tuple[int, int] | None = None  # width, height; None = not opened


def list_cameras(system: str = platform.system(), v4l: Path = _V4L) -> list[FoundCamera]:
    """The cameras, by number. Linux lists their names; elsewhere the first few are opened."""
    return _from_v4l(v4l) if system == "Linux" else _by_opening()


def _from_v4l(v4l: Path) -> list[FoundCamera]:
    """Read /sys; further nodes of a device (index above 0) give no pictures."""
    found = []
    for folder in v4l.glob("video*") if v4l.is_dir() else ():
        number = folder.name.removeprefix("video")
        index = _text(folder / "index")
        if number.isdecimal() and index in ("", "0"):
            found.append(FoundCamera(int(number), _text(folder / "name") or folder.name))
    return sorted(found, key=lambda one: one.number)


def _by_opening() -> list[FoundCamera]:
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
            found.append(FoundCamera(number, f"camera {number}", (width, height)))
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def lines(found: list[FoundCamera]) -> list[str]:
    """One line of text for each camera, or what to do when there is none."""
    if not found:
        return [
            "Cameras: none; plug one in (in a virtual machine or container, pass it through),"
            " or give live --camera FILE"
        ]
    return ["Cameras:", *(_line(one) for one in found)]


def _line(one: FoundCamera) -> str:
    size = f", {one.size_px[0]}x{one.size_px[1]}" if one.size_px else ""
    return f"  --camera {one.number}  {one.name}{size}"


def report() -> list[str]:
    """Lines for doctor: cameras, window, virtual camera, and what to do about missing ones."""
    reason = DisplayCheck().reason()
    window = "can be opened" if not reason else f"none, {reason}; use live --serve 8080"
    has_virtual = find_spec("pyvirtualcam") is not None
    virtual = "pyvirtualcam is there" if has_virtual else "for it, pip install pyvirtualcam"
    return [*lines(list_cameras()), f"Window: {window}", f"Virtual camera: {virtual}"]
