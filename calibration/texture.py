"""Points of the head put right in one picture -> TextureProfile, and a picture of the fit.

    python -m calibration.texture PICTURE --output texture.toml --picture overlay.png
    python -m calibration.texture PICTURE --start-from texture.toml --output better.toml
        --point chin=212,305 --point left_eye_outer=150.5,180

The face is fitted as in a run; points that are given are then met, see ``face.texture_fit``.
``run_pipeline.py --profile texture.toml`` with the same picture uses the corrected fit. Without
``--point`` the picture shows the automatic fit with the names of the points and scales to read
their places from.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

from hybridanim import command_line, paths
from hybridanim.config import PipelineConfig, RenderConfig, pipeline_config
from hybridanim.errors import InputError
from hybridanim.face import aligner, face_model
from hybridanim.face.head_pose import angles_deg, rotation_matrix
from hybridanim.face.named_points import NAMES, vertex_of
from hybridanim.face.texture_fit import Constraint, TextureFit
from hybridanim.io import read_picture, write_picture
from hybridanim.io.images import WRITE_SUFFIXES
from hybridanim.motion import head_mesh, head_transfer
from hybridanim.prepare import source, texture
from hybridanim.profiles import Origin, Profiles, TextureProfile, load_profile, save_profile
from hybridanim.rendering import warp
from hybridanim.runtime import face_points
from hybridanim.runtime.face_points import FacePoints
from hybridanim.types import Array, HeadPose, Source
from hybridanim.visualization import sheet, texture_points

_TURN_DEG = 25.0  # of the preview
_PREVIEW_PX, _CELLS = 384, 256
_NUMBER = r"[+-]?(?:[0-9]{1,9}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})"
_POINT = re.compile(rf"([A-Za-z0-9_]{{1,40}})=(?:(auto)|({_NUMBER}),({_NUMBER})(?:,({_NUMBER}))?)")


def main(arguments: list[str] | None = None) -> int:
    """Command line; 0, or 2 with one line on stderr when the input cannot be used."""
    return command_line.run("error", lambda: _run(_parser().parse_args(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m calibration.texture", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("input", nargs="?", type=Path, help="picture that is to be animated")
    parser.add_argument("--output", type=Path, help="profile to write, .toml")
    parser.add_argument("--picture", type=Path, help="picture of mesh, names and points to write")
    parser.add_argument(
        "--preview", type=Path, help="picture to write: the head turned, automatic and corrected"
    )
    parser.add_argument(
        "--point", action="append", default=[], metavar="NAME=X,Y",
        help="place of a point in pixels of the picture, and after a third comma a weight in"
        " (0, 1]; NAME=auto leaves it to the automatic fit again; repeat it",
    )  # fmt: skip
    parser.add_argument("--camera", choices=("weak", "perspective"), help="default: weak")
    parser.add_argument("--fov", type=float, help="field of view of the picture's width, degrees")
    parser.add_argument("--start-from", type=Path, help="profile with points of this picture")
    parser.add_argument("--crop", default="auto", help="as of a run: auto, none or X,Y,W,H")
    parser.add_argument("--face", type=int, default=0, help="as of a run: 0 is the largest face")
    parser.add_argument("--list-points", action="store_true", help="print the names and stop")
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    return parser


def _run(given: argparse.Namespace) -> int:
    if given.list_points:
        print("\n".join(f"{name:18} {number:3}" for name, number in NAMES.items()))
        return 0
    if given.input is None or given.output is None:
        raise InputError(
            "texture: expected a picture and --output FILE.toml, got only one or none; give both"
        )
    optional = [("--picture", given.picture), ("--preview", given.preview)]
    paths.refuse_replacing(
        [("--output", given.output), *((o, path) for o, path in optional if path is not None)],
        [given.input, *([given.start_from] if given.start_from else [])],
        overwrite=given.overwrite,
    )
    for option, path in optional:
        if path is not None:
            _expect_writable(option, path)
    picture = read_picture(given.input)
    profile = _profile(given, picture)
    config = pipeline_config({"crop": given.crop, "face": given.face, "size": _PREVIEW_PX})
    finder = FacePoints(face_points.load(threads=1), face_model.load())
    before = prepared(picture, config, finder)
    found = corrected(before, profile, finder)
    left = found.residuals_px(texture.constraints_of(profile))
    profile = replace(profile, largest_residual_px=round(float(max(left, default=0.0)), 3))
    pictures = []
    if given.picture:
        pictures.append((given.picture, overlay(picture, found, profile)))
    if given.preview:
        pictures.append((given.preview, preview(before, found)))
    save_profile(profile, given.output, overwrite=given.overwrite)
    for path, drawn in pictures:
        write_picture(path, drawn, overwrite=given.overwrite)
    print(table(found, profile))
    print(f"{given.output}: texture of {given.input.name}, {len(left)} point(s)")
    return 0


def _expect_writable(option: str, path: Path) -> None:
    """Raise InputError for a picture that could not be written after the work is done."""
    if path.suffix.lower() not in WRITE_SUFFIXES:
        known = " ".join(sorted(WRITE_SUFFIXES))
        raise InputError(f"{option}: expected one of {known}, got {path.name}; change the ending")
    if not paths.is_folder(path.parent):
        raise InputError(
            f"{option}: expected a folder that exists, got {path.parent}; make it or choose another"
        )


def prepared(picture: Array, config: PipelineConfig, finder: FacePoints) -> Source:
    """The picture prepared as in a run, with the automatic fit; InputError without a face."""
    found = source.prepare(picture, config, Profiles(), aligner.load(), None, finder)
    if found.face is None:
        raise InputError(
            "texture: expected a picture with a face that the landmark networks fit, got none; give"
            " the part with the head by --crop X,Y,W,H"
        )
    return found


def corrected(before: Source, profile: TextureProfile, finder: FacePoints) -> TextureFit:
    """The fit of a prepared source, corrected by the profile of its picture."""
    assert before.face is not None
    return texture.corrected(finder.model, before.face, profile, before.picture)


def _profile(given: argparse.Namespace, picture: Array) -> TextureProfile:
    """The profile that the options ask for, not measured yet."""
    points: dict[int, tuple[str, float, float, float]] = {}
    camera, view = given.camera, given.fov
    if given.start_from is not None:
        start = load_profile(given.start_from)
        if not isinstance(start, TextureProfile):
            raise InputError(
                f"--start-from {given.start_from}: expected a texture profile, got another; give"
                " one made by python -m calibration.texture"
            )
        texture.expect_picture(start, picture)
        points = {vertex_of(row[0]): row for row in start.points}
        camera = camera or start.camera
        view = start.field_of_view_deg if view is None and camera == "perspective" else view
    for number, one in read_points(given.point).items():
        points.pop(number, None)
        if one is not None:
            points[number] = (one.name, *one.xy_px, one.weight)
    return profile_of(picture, tuple(points.values()), camera or "weak", view, given.input)


def profile_of(
    picture: Array,
    points: tuple[tuple[str, float, float, float], ...],
    camera: Literal["weak", "perspective"],
    view_deg: float | None,
    path: Path,
) -> TextureProfile:
    """The profile of a picture (H, W, 3) with these points, not measured yet.

    points: name, x and y in pixels, weight. view_deg: of a perspective camera. path: of the
    picture. Raises InputError for a camera without what it needs, or with more.
    """
    height, width = picture.shape[:2]
    if camera == "perspective" and not view_deg:
        raise InputError(
            "--camera perspective: expected a field of view, got none; add --fov DEG: portraits"
            " have 10 to 40 degrees, selfies 60 to 80"
        )
    if camera == "weak" and view_deg is not None:
        raise InputError(
            f"--fov {view_deg:g}: expected a perspective camera, got weak perspective; add --camera"
            " perspective"
        )
    return TextureProfile(
        (width, height),
        texture.thumbnail(picture),
        camera,
        view_deg or 0.0,
        points,
        origin=Origin.of(path),
    )


def read_points(texts: list[str]) -> dict[int, Constraint | None]:
    """Vertex -> its point, of texts NAME=X,Y or NAME=X,Y,WEIGHT; None for NAME=auto.

    Raises InputError for other texts, unknown names, and a point that is given twice.
    """
    found: dict[int, Constraint | None] = {}
    for text in texts:
        match = _POINT.fullmatch(text)
        if match is None:
            raise InputError(
                f"--point: expected NAME=X,Y in pixels or NAME=auto, got {text[:60]!r}; for example"
                " --point chin=212,305.5"
            )
        name, auto, x, y, weight = match.groups()
        number = vertex_of(name)
        if number in found:
            raise InputError(
                f"--point {name}: expected each point once, got it twice; leave one out"
            )
        given = None if auto else Constraint(name, (float(x), float(y)), float(weight or 1))
        if given is not None and not 0 < given.weight <= 1:
            raise InputError(
                f"--point {name}: expected a weight above 0 and up to 1, got {weight}; leave it out"
                " to meet the point exactly"
            )
        found[number] = given
    return found


def overlay(picture: Array, found: TextureFit, profile: TextureProfile) -> Array:
    """(H, W, 3) uint8 RGB: the fit on the picture, see ``visualization.texture_points``."""
    return texture_points.draw(picture, found, texture.constraints_of(profile))


def preview(before: Source, found: TextureFit) -> Array:
    """(H, W, 3) uint8 RGB: the head turned to the left and right, by both fits."""
    cells, labels = [], []
    for name, face in (("automatic", before.face), ("corrected", found.face)):
        assert face is not None
        shown = replace(before, face=face)
        for turn in (-_TURN_DEG, _TURN_DEG):
            cells.append(turned(shown, turn))
            labels.append(f"{name}, {turn:+.0f}°")
    return sheet.contact_sheet(cells, labels, _PREVIEW_PX, columns=2)


def turned(shown: Source, yaw_deg: float) -> Array:
    """The source's crop (S, S, 3) uint8 RGB with its head turned by an angle."""
    head = head_mesh.build(shown, face_model.load())
    assert head is not None
    own = head_transfer.own_target(shown)
    rotation = rotation_matrix((yaw_deg, 0, 0)) @ own.pose.rotation
    pose = HeadPose(rotation, own.pose.scale_px, own.pose.shift_px)
    motion = head_mesh.dense(head, replace(own, pose=pose), _CELLS)
    return warp.render(warp.prepare(shown, RenderConfig()), motion)


def table(found: TextureFit, profile: TextureProfile) -> str:
    """Text for a person: point, automatic place, given place, place after the fit, what is left."""
    constraints = texture.constraints_of(profile)
    left = found.residuals_px(constraints)
    given = {n: row for row, n in enumerate(found.numbers.tolist())}
    names = {number: name for name, number in NAMES.items()}
    names |= {vertex_of(one.name): one.name for one in constraints}
    rows = [f"{'point':18}{'automatic x,y':>16}{'given x,y':>16}{'after x,y':>16}{'left px':>9}"]
    for number, name in names.items():
        row = given.get(number)
        wanted = "-" if row is None else _pair(constraints[row].xy_px)
        rest = "" if row is None else f"{left[row]:9.2f}"
        automatic, after = _pair(found.automatic_px[number]), _pair(found.vertices_px[number])
        rows.append(f"{name:18}{automatic:>16}{wanted:>16}{after:>16}{rest}")
    yaw, pitch, roll = angles_deg(found.face.pose.rotation)
    rows.append(f"yaw {yaw:.1f}, pitch {pitch:.1f}, roll {roll:.1f} degrees")
    return "\n".join(rows)


def _pair(xy_px: Array | tuple[float, float]) -> str:
    return f"{xy_px[0]:.1f},{xy_px[1]:.1f}"


if __name__ == "__main__":
    sys.exit(main())
