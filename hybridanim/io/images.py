"""Still pictures in and out.

A picture file or any array -> (H, W, 3) uint8 RGB, the way a person sees it: turned as its EXIF
data says, colours in sRGB, transparency laid over white, 16 bits brought down to 8. Files are
written whole or not at all. ``io`` exports the public names.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from hybridanim import files, paths
from hybridanim.errors import InputError

from .stated_colors import profile_of

Array = NDArray[Any]

# fmt: off
PICTURE_SUFFIXES = frozenset([
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".tif", ".tiff", ".webp",
    ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".jp2", ".avif", ".hdr", ".exr", ".heic", ".heif",
    ".hif",
])
# fmt: on
WRITE_SUFFIXES = frozenset([".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"])
BACKDROP = 255.0  # what shows through transparent places: white, as on a page
_MOST_BYTES = 1 << 30  # of a picture file
_STRIP_BYTES = 16 << 20  # of a picture that is converted at a time
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}  # of profiles -> of Pillow
_HEIF_BRANDS = frozenset([b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"])


def is_picture(path: str | Path) -> bool:
    """True when the file name, or the beginning of the file, says that this is a still picture.

    The beginning is looked at for HEIC alone, which video decoders take for a small video.
    """
    return Path(path).suffix.lower() in PICTURE_SUFFIXES or is_heif(path)


def is_heif(path: str | Path) -> bool:
    """True for a regular file that begins as a HEIC or HEIF picture."""
    path = Path(path)
    try:
        if not path.is_file():
            return False
        with open(path, "rb") as file:
            start = file.read(32)
    except (OSError, ValueError):
        return False
    is_avif = b"avif" in start or b"avis" in start  # which Pillow reads
    return start[4:8] == b"ftyp" and start[8:12] in _HEIF_BRANDS and not is_avif


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sort key by which frame2 comes before frame10."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts if p]


def list_pictures(folder: Path) -> list[Path]:
    """Picture files of a folder in natural order, hidden files left out."""
    found = [p for p in folder.iterdir() if is_picture(p) and not p.name.startswith(".")]
    return sorted((p for p in found if p.is_file()), key=natural_key)


def to_rgb8(array: Any) -> Array:
    """Any picture array -> (H, W, 3) uint8 RGB.

    Takes (H, W), (H, W, 1) grey, (H, W, 2) grey + alpha, (H, W, 3) RGB, (H, W, 4) RGBA; bool,
    uint8, uint16 (0..65535), other integers in 0..255, floats in [0, 1] (values that overshoot by
    up to 0.5 are clipped). Alpha is laid over white. Raises InputError for anything else.
    """
    picture = np.asarray(array)
    if picture.ndim == 2:
        picture = picture[..., None]
    if picture.ndim != 3 or picture.shape[2] not in (1, 2, 3, 4) or 0 in picture.shape:
        hint = "put the channels last" if picture.ndim == 3 else "give one picture at a time"
        raise InputError(
            f"picture: expected (H, W), (H, W, 3) or (H, W, 4), got {np.shape(array)}; {hint}"
        )
    picture = _to_8_bits(picture)
    if picture.shape[2] in (2, 4):
        picture = _over_white(picture[..., :-1], picture[..., -1:])
    if picture.shape[2] == 1:
        picture = np.repeat(picture, 3, axis=2)
    return np.ascontiguousarray(picture)


def _to_8_bits(picture: Array) -> Array:
    """Bring any of the accepted number types to uint8."""
    if picture.dtype == np.uint8:
        return picture
    if picture.dtype == bool:
        return picture.astype(np.uint8) * np.uint8(255)
    if picture.dtype == np.uint16:
        return ((picture.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if picture.dtype.kind not in "iuf":
        raise InputError(f"picture: expected numbers, got {picture.dtype}; convert to uint8 first")
    low, high = float(picture.min()), float(picture.max())
    if picture.dtype.kind == "f" and low >= -0.5 and high <= 1.5:  # False for NaN too
        return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
    if picture.dtype.kind in "iu" and low >= 0 and high <= 255:
        return picture.astype(np.uint8)
    want = "floats in [0, 1]" if picture.dtype.kind == "f" else "integers in 0..255"
    raise InputError(
        f"picture: expected {want}, got {picture.dtype} from {low:g} to {high:g}; "
        "rescale it, or convert it to uint8"
    )


def _over_white(color: Array, alpha: Array) -> Array:
    """Composite uint8 colour with uint8 alpha over the backdrop; in strips, as floats are large."""
    out = np.empty(color.shape, np.uint8)
    rows = max(1, _STRIP_BYTES // (16 * color.shape[1]))
    for top in range(0, len(color), rows):
        part = slice(top, top + rows)
        share = alpha[part].astype(np.float32) / 255
        out[part] = (color[part] * share + BACKDROP * (1 - share) + 0.5).astype(np.uint8)
    return out


def read_picture(path: str | Path, *, alpha: bool = False) -> Array:
    """A picture file -> (H, W, 3) uint8 RGB, upright; transparent places white.

    Animated files give their first frame. alpha: give (H, W, 4) RGBA, colours not multiplied by
    alpha, for a picture that is transparent somewhere; RGB for others. Raises InputError when the
    file is missing, empty, cut off, too large to be a picture, or not a picture at all.
    """
    picture = _read(Path(path))
    return picture if alpha else to_rgb8(picture)


def _read(path: Path) -> Array:
    """A picture file as RGB, or as RGBA where it is transparent somewhere."""
    _check_file(path)
    if is_heif(path):
        _expect_heif_reader(path)
    try:
        with opened_picture(path) as opened:
            return upright(opened)
    except Image.DecompressionBombError as error:
        raise InputError(
            f"picture: expected at most {2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6} million "
            f"pixels, got more in {path.name}; make it smaller first"
        ) from error
    except UnidentifiedImageError:
        return _read_with_opencv(path)
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, InputError) or "truncated" in str(error):
            raise InputError(
                f"picture: expected a whole file, got {path.name} that breaks off or is damaged "
                f"({error}); copy or download it again"
            ) from error
        return _read_with_opencv(path)


@contextmanager
def opened_picture(path: Path) -> Iterator[Image.Image]:
    """A picture file, opened by Pillow, whose warning about large pictures is left out.

    From twice as many pixels on they are refused, which is enough.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(path) as opened:
            yield opened


def _expect_heif_reader(path: Path) -> None:
    """Register pillow-heif with Pillow; InputError with how to get it where it is missing."""
    try:
        import pillow_heif  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise InputError(
            f"picture: expected one that can be read here, got {path.name}, a HEIC picture, which"
            " needs a further package; pip install pillow-heif, or save it as JPEG"
        ) from error
    pillow_heif.register_heif_opener()


def _check_file(path: Path) -> None:
    """Raise InputError unless ``path`` is a file with something in it that may be read."""
    paths.expect_readable("picture", path)
    if paths.is_folder(path):
        raise InputError(f"picture: expected a file, got the folder {path}; name a picture in it")
    if not paths.is_file(path):
        raise InputError(f"picture: expected a file, found no {path}; check the name")
    if not os.access(path, os.R_OK):
        raise InputError(f"picture: expected a readable file, got {path}; check its permissions")
    if path.stat().st_size == 0:
        raise InputError(f"picture: expected a picture, got the empty file {path}; copy it again")
    if path.stat().st_size > _MOST_BYTES:
        raise InputError(
            f"picture: expected a file of at most {_MOST_BYTES >> 20} MB, got {path} with"
            f" {path.stat().st_size >> 20} MB; make it smaller first"
        )


def upright(opened: Image.Image) -> Array:
    """The shown frame of an opened picture, upright, in sRGB: (H, W, 3) uint8 RGB.

    (H, W, 4) RGBA, colours not multiplied by alpha, where it is transparent somewhere. Large
    pictures are converted strip by strip: the memory is that of Pillow's picture and of the result.
    """
    profile = profile_of(opened)
    ImageOps.exif_transpose(opened, in_place=True)
    picture = opened
    if picture.mode == "F":
        grey = np.asarray(picture)
        return to_rgb8(grey / 255 if grey.max() > 1.5 else grey)
    is_deep = picture.mode.startswith("I")  # 16 or 32 bits of grey
    if picture.mode == "I" and np.asarray(picture).max() <= 255:
        picture, is_deep = picture.convert("L"), False
    has_alpha = not is_deep and (
        picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info
    )
    colors = _Profile(picture, is_deep, profile)
    width, height = picture.size
    out = np.empty((height, width, 4 if has_alpha else 3), np.uint8)
    rows = max(1, _STRIP_BYTES // (4 * width))
    for top in range(0, height, rows):
        below = min(height, top + rows)
        strip = picture.crop((0, top, width, below))
        if has_alpha:
            strip, opacity = _split(strip)
            out[top:below, :, 3] = np.asarray(opacity)
        out[top:below, :, :3] = colors(strip)
    if has_alpha and out[..., 3].min() == 255:
        return np.ascontiguousarray(out[..., :3])
    return out


def _split(picture: Image.Image) -> tuple[Image.Image, Image.Image]:
    """Colour (L or RGB) and alpha (L) of a picture with transparency of any kind."""
    if picture.mode in ("LA", "La"):
        grey, alpha = picture.convert("LA").split()
        return grey, alpha
    *color, alpha = picture.convert("RGBA").split()
    return Image.merge("RGB", color), alpha


class _Profile:
    """Pillow's pictures of one kind -> (h, w, 3) uint8 sRGB, by its colour profile.

    data: the profile, or None for sRGB. A profile that is broken, or of another kind of colours, is
    passed over: such are common.
    """

    def __init__(self, picture: Image.Image, is_deep: bool, data: bytes | None) -> None:
        self._is_deep = is_deep
        self._transform: Any = None
        self._mode = ""  # of the pictures that the profile is for
        try:
            if picture.mode == "LAB":
                profile: Any = ImageCms.createProfile("LAB")
                self._mode = "LAB"
            elif data:
                profile = ImageCms.ImageCmsProfile(BytesIO(data))
                self._mode = _MODES[profile.profile.xcolor_space.strip()]
            else:
                return
            srgb = ImageCms.createProfile("sRGB")
            self._transform = ImageCms.buildTransform(profile, srgb, self._mode, "RGB")
        except (ImageCms.PyCMSError, OSError, KeyError):
            self._mode = ""
        self._table: Array | None = None  # of grey: its 256 values in sRGB, float

    def __call__(self, strip: Image.Image) -> Array:
        if self._is_deep:
            deep = np.clip(np.asarray(strip), 0, 65535) / 257
            return np.repeat(self._deep(deep)[..., None], 3, axis=2)
        if strip.mode not in ("L", "RGB", "CMYK", "LAB"):
            strip = strip.convert("L" if strip.mode == "1" else "RGB")
        return self._converted(strip)

    def _converted(self, strip: Image.Image) -> Array:
        """An L, RGB, CMYK or LAB picture in sRGB."""
        mode = strip.mode
        if self._mode == "RGB" and mode == "L":
            strip = strip.convert("RGB")
        elif self._mode == "L" and mode == "RGB" and _is_grey(strip):
            strip = strip.convert("L")
        if strip.mode == self._mode:
            return np.asarray(ImageCms.applyTransform(strip, self._transform))
        return np.asarray(strip.convert("RGB"))

    def _deep(self, grey: Array) -> Array:
        """Grey in [0, 255] with fractions -> uint8 sRGB."""
        if self._mode not in ("L", "RGB"):
            return (grey + 0.5).astype(np.uint8)
        if self._table is None:
            ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
            self._table = self._converted(ramp)[0, :, 1].astype(np.float64)
        return (np.interp(grey, np.arange(256), self._table) + 0.5).astype(np.uint8)


def _is_grey(picture: Image.Image) -> bool:
    """Whether the three channels of an RGB picture are one, as Pillow opens deep grey + alpha."""
    values = np.asarray(picture)
    return bool((values[..., :1] == values).all())


def _read_with_opencv(path: Path) -> Array:
    """Second reader, for what Pillow does not know (16-bit RGB TIFF, EXR, HDR...)."""
    data = np.fromfile(path, dtype=np.uint8)
    try:
        bgr = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error:
        bgr = None
    if bgr is None:
        raise InputError(
            f"picture: expected a picture, got {path.name} which is none or is damaged; "
            "give a PNG or JPEG file"
        )
    rgb = bgr[..., ::-1] if bgr.ndim == 3 else bgr
    return to_rgb8(np.clip(rgb, 0, 1) if rgb.dtype.kind == "f" else rgb)


def write_picture(
    path: str | Path,
    image: Array,
    *,
    metadata: dict[str, str] | None = None,
    overwrite: bool = True,
) -> None:
    """Write (H, W, 3) uint8 RGB to a PNG, JPEG, WebP, BMP or TIFF file, whole or not at all.

    ``metadata`` goes into PNG text chunks, or the EXIF description of JPEG and WebP. An existing
    file is replaced, or refused without ``overwrite``. Raises InputError for an unknown ending or
    an unwritable place.
    """
    path = Path(path)
    if path.suffix.lower() not in WRITE_SUFFIXES:
        known = " ".join(sorted(WRITE_SUFFIXES))
        raise InputError(f"picture: expected one of {known}, got {path.name}; change the ending")
    paths.refuse_link("picture", path)
    try:
        with files.atomic_write(path, overwrite=overwrite) as file:
            save_picture(file, image, path.suffix.lower(), metadata or {})
    except OSError as error:
        raise InputError(
            f"picture: expected a place to write {path}, got '{error.strerror or error}'; "
            "free some space or choose another folder"
        ) from error


def save_picture(file: Any, image: Array, suffix: str, metadata: dict[str, str]) -> None:
    """Encode one (H, W, 3) uint8 RGB picture into an open binary file.

    (H, W, 4) RGBA keeps its transparency in PNG, WebP and TIFF files; in others it lies on white.
    """
    kind = Image.registered_extensions()[suffix]
    has_alpha = image.ndim == 3 and image.shape[2] == 4 and kind in ("PNG", "WEBP", "TIFF")
    picture = Image.fromarray(image if has_alpha else to_rgb8(image))
    options: dict[str, Any] = {"quality": 95} if kind in ("JPEG", "WEBP") else {}
    if kind == "PNG":
        text = PngInfo()
        for key, value in metadata.items():
            text.add_itxt(key, value) if not value.isascii() else text.add_text(key, value)
        # level 3 instead of 6: three times faster for files about 5 % larger
        options = {"pnginfo": text, "compress_level": 3}
    elif metadata and kind in ("JPEG", "WEBP", "TIFF"):
        exif = Image.Exif()
        exif[0x010E] = "; ".join(metadata.values())  # ImageDescription
        exif[0x0131] = metadata.get("Software", "")
        options["exif"] = exif
    picture.save(file, kind, **options)


def fit(image: Array, size: tuple[int, int]) -> Array:
    """Scale a picture into (width, height), keeping its proportions, black bars around."""
    height, width = image.shape[:2]
    scale = min(size[0] / width, size[1] / height)
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small = image if inner == (width, height) else cv2.resize(image, inner, interpolation=method)
    if inner == size:
        return np.ascontiguousarray(small)
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    canvas[top : top + inner[1], left : left + inner[0]] = small
    return canvas
