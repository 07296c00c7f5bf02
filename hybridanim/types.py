"""Values that are passed between the stages, in flow order.

Frame -> SkinMask -> Tracks -> SparseMotion (of Keypoints) -> DenseMotion -> Picture; Source is
prepared once. All are frozen, checked on construction, and plain numpy, so that a run without a
learned network never imports torch; networks convert at their own interface.

Coordinates: the name carries the system. ``_px`` is x right, y down, (0, 0) the centre of the first
pixel of that value's own picture. ``_norm`` is x, y in [-1, 1] from the outer edge of the first
pixel to the outer edge of the last one of a square ``Crop`` (grid_sample's align_corners=False).
Pictures are RGB everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
HEAD, LEFT_HAND, RIGHT_HAND = "head", "left_hand", "right_hand"


def _expect(name: str, value: object, shape: tuple[int | None, ...], dtype: type, fix: str) -> None:
    """Raise TypeError unless ``value`` is an array of that shape (None = any) and dtype."""
    if isinstance(value, np.ndarray) and value.dtype == dtype and value.ndim == len(shape):
        rows = zip(shape, value.shape, strict=True)
        if all(want in (None, got) for want, got in rows):
            return
    got = f"{value.shape} {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
    want = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
    raise TypeError(f"{name}: expected {want} {np.dtype(dtype).name}, got {got}; {fix}")


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a video at the working resolution of the trackers."""

    image: Array  # (H, W, 3) uint8 RGB
    index: int = 0  # 0 is the first frame that is processed
    time_s: float = 0.0  # presentation time from the start of the video

    def __post_init__(self) -> None:
        _expect("Frame.image", self.image, (None, None, 3), np.uint8, "convert with io.to_rgb8")


@dataclass(frozen=True, slots=True)
class FaceBox:
    """A face found by the cascade: brows to chin, roughly as wide as the face."""

    x_px: float
    y_px: float
    width_px: float
    height_px: float
    score: float = 1.0  # relative; higher is more certain

    @property
    def center_xy_px(self) -> tuple[float, float]:
        """Centre of the box."""
        return self.x_px + self.width_px / 2, self.y_px + self.height_px / 2


@dataclass(frozen=True, slots=True)
class Blob:
    """A connected skin region that keeps its label from frame to frame."""

    label: str  # HEAD, LEFT_HAND or RIGHT_HAND; left and right as seen in the picture
    box_px: tuple[float, float, float, float]  # x, y, width, height
    centroid_xy_px: tuple[float, float]
    area_px: float
    is_predicted: bool = (
        False  # not detected in this frame (merged or hidden): the box is extrapolated
    )


@dataclass(frozen=True, slots=True)
class SkinMask:
    """Stage 1: which pixels are skin, and the labelled blobs they form."""

    mask: Array  # (H, W) uint8, 0 or 255
    blobs: tuple[Blob, ...] = ()
    median_uv: tuple[float, float] | None = None  # of the head's skin, 0..255 each
    is_frozen: bool = False  # the adaptive model was too uncertain to learn from this frame
    face: FaceBox | None = None  # cascade hit of this frame, if the cascade ran and found one
    lost: str = ""  # reason why no skin was found, or ""
    unused: str = ""  # reason why no skin was searched for, or ""

    def __post_init__(self) -> None:
        _expect("SkinMask.mask", self.mask, (None, None), np.uint8, "use 0 and 255")

    def __bool__(self) -> bool:
        return not self.lost and not self.unused

    def blob(self, label: str) -> Blob | None:
        """The blob with that label, or None."""
        return next((blob for blob in self.blobs if blob.label == label), None)


@dataclass(frozen=True, slots=True)
class HeadBox:
    """The head as a square that rotates with it: brows to chin, like FaceBox."""

    center_xy_px: tuple[float, float]
    size_px: float  # side of the square
    roll_deg: float = 0.0  # positive = clockwise on the screen


@dataclass(frozen=True, slots=True)
class SceneTracks:
    """Stage 2: corners of body and background, each as a correspondence first frame -> now."""

    xy_px: Array  # (M, 2) float32, in this frame
    reference_xy_px: Array  # (M, 2) float32, in the first frame with a head
    confidence: Array  # (M,) float32 in [0, 1]
    is_body: Array  # (M,) bool, on chest and shoulders; the others are on the background

    def __post_init__(self) -> None:
        _expect("SceneTracks.xy_px", self.xy_px, (None, 2), np.float32, "use float32 x, y rows")
        m, fix = len(self.xy_px), "give one row per corner"
        _expect("SceneTracks.reference_xy_px", self.reference_xy_px, (m, 2), np.float32, fix)
        _expect("SceneTracks.confidence", self.confidence, (m,), np.float32, fix)
        _expect("SceneTracks.is_body", self.is_body, (m,), np.bool_, fix)


@dataclass(frozen=True, slots=True)
class HeadPose:
    """Weak perspective: picture = scale * rotation * face + shift (units: face.face_model)."""

    rotation: Array  # (3, 3) face -> camera: x right, y down, z away
    scale_px: float  # pixels of the face model's unit, the side of the head box
    shift_px: Array  # (2,) picture position of the face model's origin

    @property
    def roll_rad(self) -> float:
        """Angle of the rotation in the picture plane that is nearest to ``rotation``."""
        r = self.rotation
        return float(np.arctan2(r[1, 0] - r[0, 1], r[0, 0] + r[1, 1]))

    def project(self, vertices: Array) -> Array:
        """(..., 3) vertices -> (..., 3) picture pixels; z in pixels too, 0 at the origin."""
        found = self.scale_px * vertices @ np.asarray(self.rotation).T
        found[..., :2] += self.shift_px
        return found


@dataclass(frozen=True, slots=True)
class FaceFit:
    """Stage 2: the face model fitted to one picture; see face.face_model for the coefficients."""

    pose: HeadPose
    identity: Array  # (I,) float32, changes slowly
    expression: Array  # (E,) float32, 0 = the person's neutral face
    confidence: float  # in [0, 1]
    quantities: Array  # (A,) float32, openings, gaze, ...: face_model.AXES, of this face
    neutral: Array  # (A,) float32, the same of the person's neutral face
    offset: Array | None = None  # (V, 3) float32, of the vertices from what the coefficients say

    def __post_init__(self) -> None:
        _expect("FaceFit.identity", self.identity, (None,), np.float32, "use float32")
        _expect("FaceFit.expression", self.expression, (None,), np.float32, "use float32")
        _expect("FaceFit.quantities", self.quantities, (None,), np.float32, "use float32")
        count, fix = len(self.quantities), "give one for each quantity"
        _expect("FaceFit.neutral", self.neutral, (count,), np.float32, fix)
        if self.offset is not None:
            _expect("FaceFit.offset", self.offset, (None, 3), np.float32, "use float32")


@dataclass(frozen=True, slots=True)
class Tracks:
    """Stage 2: features as correspondences reference frame -> this frame, and the head's pose.

    A feature found after the reference frame is mapped back to it by the fit of the frame in which
    it was found, so every row is a correspondence.
    """

    xy_px: Array  # (N, 2) float32, in this frame
    reference_xy_px: Array  # (N, 2) float32, the same features in the reference frame
    ids: Array  # (N,) int64, never reused
    age: Array  # (N,) int64, frames since found
    confidence: Array  # (N,) float32 in [0, 1]
    new: int = 0  # features found in this frame
    dropped: int = 0  # features lost in this frame
    head: HeadBox | None = None
    landmarks_xy_px: Array | None = None  # (L, 2) float32, see face.landmarks.POINTS
    reference_landmarks_xy_px: Array | None = None  # (L, 2) float32, in the reference frame
    landmarks_confidence: float = 0.0  # in [0, 1]
    rotation_deg: tuple[float, float, float] = (
        0.0,
        0.0,
        0.0,
    )  # yaw, pitch, roll; see face.head_pose
    rotation_confidence: float = 0.0  # in [0, 1]
    confidence_overall: float = 0.0  # in [0, 1]
    face_confidence: float = 0.0  # in [0, 1]: of a face where the head is; 0 = carried by motion
    is_new_reference: bool = False  # this frame replaces the reference frame of those before it
    lost: str = ""  # reason why the head is not tracked, or ""
    keypoints: Keypoints | None = None  # of a learned tracker, in keypoints_crop
    keypoints_crop: Crop | None = None  # square of this frame that they are normalised to
    scene: SceneTracks | None = None  # corners of body and background, if tracked
    reference_scene: SceneTracks | None = None  # the same, in the reference frame's picture
    face: FaceFit | None = None  # the face model in this frame, if the face is seen
    covered: float = 0.0  # share of the face that a hand covers, in [0, 1]; see tracking.face_cover

    def __post_init__(self) -> None:
        if (self.keypoints is None) != (self.keypoints_crop is None):
            raise TypeError(
                "Tracks.keypoints: expected them with their keypoints_crop, got one of the two;"
                " give both or none"
            )
        _expect("Tracks.xy_px", self.xy_px, (None, 2), np.float32, "use float32 x, y rows")
        n = len(self.xy_px)
        fix = "give one row per track"
        _expect("Tracks.reference_xy_px", self.reference_xy_px, (n, 2), np.float32, fix)
        _expect("Tracks.ids", self.ids, (n,), np.int64, fix)
        _expect("Tracks.age", self.age, (n,), np.int64, fix)
        _expect("Tracks.confidence", self.confidence, (n,), np.float32, fix)

    def __bool__(self) -> bool:
        return not self.lost


@dataclass(frozen=True, slots=True)
class Crop:
    """A square of a picture that normalised coordinates refer to; may reach beyond the picture."""

    x_px: float  # left edge of the square, in pixel-centre coordinates minus one half
    y_px: float
    side_px: float

    def __post_init__(self) -> None:
        if not self.side_px > 0:
            raise TypeError(f"Crop.side_px: expected > 0, got {self.side_px}; check the head box")


@dataclass(frozen=True, slots=True)
class Keypoints:
    """K keypoints with local affines, as every tracker produces them."""

    xy_norm: Array  # (K, 2) float32
    jacobian: Array  # (K, 2, 2) float32, canonical face -> this picture, near keypoint k
    confidence: Array  # (K,) float32 in [0, 1]

    def __post_init__(self) -> None:
        _expect("Keypoints.xy_norm", self.xy_norm, (None, 2), np.float32, "use float32")
        k = len(self.xy_norm)
        fix = "give one row per keypoint"
        _expect("Keypoints.jacobian", self.jacobian, (k, 2, 2), np.float32, fix)
        _expect("Keypoints.confidence", self.confidence, (k,), np.float32, fix)


@dataclass(frozen=True, slots=True)
class OpticalFlow:
    """The driver's optical flow, transferred to the source; see motion.flow_transfer."""

    grid_norm: Array  # (h, w, 2) float32, absolute source position of each cell (backward flow)
    trust: Array  # (h, w) float32 in [0, 1], confidence

    def __post_init__(self) -> None:
        _expect("OpticalFlow.grid_norm", self.grid_norm, (None, None, 2), np.float32, "x, y last")
        h, w = self.grid_norm.shape[:2]
        _expect("OpticalFlow.trust", self.trust, (h, w), np.float32, "match grid_norm")


@dataclass(frozen=True, slots=True)
class HeadTarget:
    """Stage 3: pose and expression that the source's head takes, in its crop's coordinates."""

    pose: HeadPose  # scale and shift normalised to the source's crop
    expression: Array  # (E,) float32, of the face model
    body: Array  # (2, 3) float32 affine target <- source of the chest, norm

    def __post_init__(self) -> None:
        _expect("HeadTarget.expression", self.expression, (None,), np.float32, "use float32")
        _expect("HeadTarget.body", self.body, (2, 3), np.float32, "use float32")


@dataclass(frozen=True, slots=True)
class SparseMotion:
    """Stage 3: the driver's keypoints, and the target keypoints of the source.

    The dense stage uses T_{S<-target}(z) ~ p_S,k + J_S,k J_target,k^-1 (z - p_target,k).
    """

    driving: Keypoints  # as observed, in the driving crop
    target: Keypoints  # after transfer, in the source crop
    driving_crop: Crop
    is_frozen: bool = False  # tracks were lost; repeats or relaxes the last good motion
    background: Array | None = None  # (2, 3) float32 source <- target, norm; None = still
    optical: OpticalFlow | None = None  # computed if the renderer uses it
    head: HeadTarget | None = None  # of a source and a driver with a fitted face
    held_face: str = ""  # why the head's pose or expression are held, at least in part


@dataclass(frozen=True, slots=True)
class Avatar:
    """What turns of the source's head uncover, painted once; see prepare.avatar."""

    behind: Array  # (h, w, 3) uint8 RGB atlas of the shell behind the person, motion.head_shell
    is_painted: Array  # (h, w) bool, where that is patches of hair; elsewhere the mirrored outline
    other: Array  # (S, S, 3) uint8 RGB, the source in the light of the head's other half
    symmetry: Array  # (n, n) float32 in [0, 1], by place: the other half shows the same there

    def __post_init__(self) -> None:
        _expect("Avatar.symmetry", self.symmetry, (None, None), np.float32, "use float32")
        _expect("Avatar.other", self.other, (None, None, 3), np.uint8, "give RGB")
        _expect("Avatar.behind", self.behind, (None, None, 3), np.uint8, "give RGB")
        shape = self.behind.shape[:2]
        _expect("Avatar.is_painted", self.is_painted, shape, np.bool_, "match Avatar.behind")


@dataclass(frozen=True, slots=True)
class Source:
    """The picture to animate, prepared once."""

    picture: Array  # (H, W, 3) uint8 RGB, the whole source picture, upright
    crop: Crop  # square of it that is animated
    image: Array  # (S, S, 3) uint8 RGB, that square at output size
    keypoints: Keypoints  # in the crop
    head: HeadBox  # in pixels of `picture`
    subject: Array  # (S, S) float32 in [0, 1], soft mask of the person
    inpainted_background: Array  # (S, S, 3) uint8 RGB, background with the person painted out
    rotation_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    landmarks_xy_px: Array | None = None  # (L, 2) float32, in pixels of `picture`
    face: FaceFit | None = None  # the face model, in pixels of `picture`
    avatar: Avatar | None = None  # of a source with a fitted face
    turn_deg: int = 0  # clockwise, by which the given picture was turned upright
    # of a transparent picture, which lies on white here
    alpha: Array | None = None  # (S, S) uint8
    inpainted_alpha: Array | None = None  # (S, S) uint8, alpha with the person painted out

    def __post_init__(self) -> None:
        s = self.image.shape[0]
        for name in ("alpha", "inpainted_alpha"):
            if (given := getattr(self, name)) is not None:
                _expect(f"Source.{name}", given, (s, s), np.uint8, "match Source.image")
        if self.avatar is not None:
            other = self.avatar.other
            _expect("Source.avatar.other", other, (s, s, 3), np.uint8, "match Source.image")
        if (self.alpha is None) != (self.inpainted_alpha is None):
            raise TypeError(
                "Source.alpha: expected it with inpainted_alpha, got one of the two; give both or"
                " none"
            )
        _expect("Source.image", self.image, (s, s, 3), np.uint8, "make a square crop")
        _expect("Source.subject", self.subject, (s, s), np.float32, "match Source.image")
        _expect(
            "Source.inpainted_background",
            self.inpainted_background,
            (s, s, 3),
            np.uint8,
            "match Source.image",
        )


@dataclass(frozen=True, slots=True)
class LearnedFeatures:
    """Stage 4 of the learned renderer: all inputs of its generator, from source and motion.

    Maps by the networks' own names, each (1, C, h, w) float32 except the flow, (1, h, w, 2).
    """

    source: Mapping[str, Array]  # the encoded source
    motion: Mapping[str, Array]  # flow, occlusion and features of this frame


class Reason(IntEnum):
    """Why an output cell is, or is not, visible in the source: values of ``DenseMotion.reasons``.

    See motion.head_occlusion.
    """

    VISIBLE = 0  # the source shows what the cell shows
    UNCOVERED = 1  # background or body that the head covers in the source, or a hole in the mesh
    SELF_OCCLUDED = 2  # of the head, but in the source turned away or behind another part of it
    OPENED = 3  # inside of a mouth or an eye that opens further than in the source
    OUTSIDE = 4  # of the person, but beyond the edge of the source's picture


@dataclass(frozen=True, slots=True)
class MovedFace:
    """Stage 4: where the points of the face lie in the output; painters place their windows by it.

    See face.mesh for the points; the irises are those of the eyeballs.
    """

    xy_norm: Array  # (478, 2) float32
    pose: HeadPose  # scale and shift normalised

    def __post_init__(self) -> None:
        _expect("MovedFace.xy_norm", self.xy_norm, (478, 2), np.float32, "use float32")


@dataclass(frozen=True, slots=True)
class MovedTeeth:
    """Stage 4: strips of teeth and tongue behind opened lips; see motion.teeth."""

    vertices: Array  # (N, 3) float64, normalised, z away from the camera
    places_mm: Array  # (N, 2) float32, place in the texture
    triangles: Array  # (T, 3) int32


@dataclass(frozen=True, slots=True)
class Uncovered:
    """Stage 4: which place of an atlas of ``Avatar`` each output cell shows, and how much of it."""

    atlas_norm: Array  # (h, w, 2) float32, [-1, 1] from the outer edges of the atlas
    share: Array  # (h, w) float32 in [0, 1], coverage of the layer

    def __post_init__(self) -> None:
        _expect("Uncovered.atlas_norm", self.atlas_norm, (None, None, 2), np.float32, "x, y last")
        shape = self.atlas_norm.shape[:2]
        _expect("Uncovered.share", self.share, shape, np.float32, "match atlas_norm")


@dataclass(frozen=True, slots=True)
class DenseMotion:
    """Stage 4: backward flow and occlusion map on a grid of output cells."""

    grid_norm: Array  # (h, w, 2) float32, absolute source position of each cell (backward flow)
    occlusion: Array  # (h, w) float32 in [0, 1], 1 = visible in the source, 0 = to be painted
    weights: Array | None = None  # (K+1, h, w) float32, share of each local map; 0 = background
    features: LearnedFeatures | None = None  # further inputs of a learned generator
    background: Array | None = None  # (2, 3) float32 source <- output, norm; None = still
    interior: Array | None = (
        None  # (n, n) float32 in [0, 1]: inside of a mouth that the source shuts
    )
    teeth: MovedTeeth | None = None  # in it
    # of the head's mesh alone; None for the motion of keypoints
    depth: Array | None = None  # (h, w) float32, z of what is shown, norm, away; NaN = no surface
    reasons: Array | None = None  # (h, w) uint8, values of ``Reason``
    face: MovedFace | None = None  # of a source and a driver with a fitted face
    # of a source with an avatar
    behind: Uncovered | None = None  # layer between person and background
    mirrored: Uncovered | None = None  # of the person; places are those of the source
    coverage: Array | None = None  # (h, w) float32 in [0, 1], of the person's layer at its cuts

    def __post_init__(self) -> None:
        _expect("DenseMotion.grid_norm", self.grid_norm, (None, None, 2), np.float32, "x, y last")
        h, w = self.grid_norm.shape[:2]
        _expect("DenseMotion.occlusion", self.occlusion, (h, w), np.float32, "match grid_norm")
        if self.depth is not None:
            _expect("DenseMotion.depth", self.depth, (h, w), np.float32, "match grid_norm")
        if self.reasons is not None:
            _expect("DenseMotion.reasons", self.reasons, (h, w), np.uint8, "match grid_norm")


@dataclass(frozen=True, slots=True)
class Picture:
    """Stage 5: the animated source crop."""

    image: Array  # (S, S, 3) uint8 RGB; on white where it is transparent
    alpha: Array | None = None  # (S, S) uint8, 255 = opaque; None = opaque everywhere

    def __post_init__(self) -> None:
        _expect("Picture.image", self.image, (None, None, 3), np.uint8, "clip and round to uint8")
        if self.alpha is not None:
            size = self.image.shape[:2]
            _expect("Picture.alpha", self.alpha, size, np.uint8, "match Picture.image")


@dataclass(frozen=True, slots=True)
class Results:
    """Output of each stage for one frame, and the stages' times."""

    frame: Frame
    mask: SkinMask
    tracks: Tracks
    points: SparseMotion
    motion: DenseMotion
    picture: Picture
    times_ms: dict[str, float] = field(default_factory=dict)  # stage name -> milliseconds
