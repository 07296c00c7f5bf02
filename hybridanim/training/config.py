"""Settings of the trainings: every number that a user may change."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from hybridanim.networks.sizes import (
    FACE_DETECTOR,
    OBJECT,
    OBJECT_DETECTOR,
    DetectorSizes,
    FastSizes,
)

from .data.augment import Augment
from .detector.augment import WindowAugment


@dataclass(frozen=True)
class LoopConfig:
    """Settings that every training has (training/loop.py)."""

    out: Path = Path("runs/train")
    """Folder of the checkpoint, the curves and the weights."""
    steps: int = 0
    """Number of steps; 0: no limit."""
    time_budget_s: float = 7200.0
    """Training time, earlier sittings of the run included; 0: no limit."""
    learning_rate: float = 1e-3
    """Peak of the learning rate."""
    warmup_steps: int = 100
    """Steps over which the learning rate rises to its peak."""
    weight_decay: float = 1e-3
    """Weight decay of AdamW."""
    clip_norm: float = 1.0
    """Gradients that are longer are scaled down to this length."""
    ema: float = 0.998
    """Weight of the past in the averaged weights, which are the result."""
    seed: int = 1
    """One seed gives one result on a CPU."""
    threads: int = 2
    """CPU threads of the networks."""
    bf16: bool = True
    """Compute convolutions in bfloat16."""
    checkpoint_s: float = 120.0
    """Time between two checkpoints."""
    validate_s: float = 480.0
    """Time between two validations."""
    limit_s: float = 0.0
    """Time of this sitting, from the making of its networks on, after which it is saved, validated
    and ended, however much of the run is left; 0: none."""
    checkpoint_mib: float = 0.0
    """Largest size of a file of the checkpoint, which is cut into parts; 0: one file."""


@dataclass(frozen=True)
class LossWeights:
    """One weight a term; 0 leaves the term out, so an ablation is a config."""

    l1: float = 1.0
    """Mean absolute difference of the result."""
    gradient: float = 1.0
    """L1 of the result's finite differences, at three scales."""
    perceptual: float = 0.15
    """L1 of the result's SqueezeNet features."""
    warped_l1: float = 0.5
    """L1 and gradient of the warped source alone, so that the flow learns and paint does not hide
    its faults."""
    paint_l1: float = 0.5
    """L1 and gradient of the paint alone: where alpha is small, paint would learn nothing
    otherwise, and alpha has no reason to grow (mouths stayed shut without it)."""
    emphasis: float = 8.0
    """Weight of a pixel at lids and lips relative to a pixel far from them."""
    opened: float = 16.0
    """Further weight of a pixel inside an open mouth or eye."""
    alpha: float = 0.001
    """Mean share of paint: the source is kept where it can be."""
    unneeded_paint: float = 0.0
    """Share of paint where source and driving frame agree, so that a background that does not move
    is not painted."""
    gan: float = 0.0
    """LSGAN term of a patch discriminator."""
    matching: float = 0.0
    """L1 between the discriminator's activations (feature matching)."""
    equivariance: float = 0.1
    """Learned keypoints: error of their places under a known warp of the picture."""
    equivariance_jacobian: float = 0.1
    """Learned keypoints: error of their Jacobians under that warp."""
    flow: float = 0.0
    """Distance of the dense motion to optical flow (DIS), where that is consistent."""


@dataclass(frozen=True)
class Phase:
    """A part of the curriculum: a share of the steps, or of the time."""

    size: int
    """Pictures are size x size pixels."""
    batch: int
    """Pairs a step."""
    share: float
    """Share of the run."""


@dataclass(frozen=True)
class TrainConfig(LoopConfig):
    """One training of a renderer; with learned keypoints, of a detector together with it.

    With ``steps`` the result depends on the seed alone; without, training takes ``time_budget_s``
    and depends on the machine, too. The learning rate falls as a cosine to a twentieth.
    """

    keypoints: Literal["given", "learned"] = "given"
    """given: keypoints of the cache's sets, for faces. learned: a detector is trained with the
    renderer, without any labels, for any kind of object."""
    start_from: Path | None = None
    """Weights to start from (safetensors), without an optimiser's state; their sizes hold."""
    cache: Path = Path("scratch/cache/train")
    """Cached training clips (see data/cache.py)."""
    sets: tuple[str, ...] = ("teacher", "per_frame")
    """Keypoint sets of the cache that pairs are drawn with; none for all that there are."""
    balance: str = ""
    """Column of the clips' table whose values are drawn equally often."""
    validation: Path = Path("scratch/cache/val")
    """Cached clips of other people."""
    perceptual_network: Path | None = None
    """SqueezeNet weights, vgg19 (needs torchvision, which fetches its weights), or none: then the
    perceptual term is left out."""
    perceptual_scales: int = 1
    """Number of sizes that the perceptual network is shown: 128 pixels, 64, ..."""
    phases: tuple[Phase, ...] = (Phase(128, 16, 0.65), Phase(256, 8, 0.35))
    """The curriculum."""
    discriminator_rate: float = 2e-4
    """Learning rate of the discriminator, when there is one."""
    losses: LossWeights = field(default_factory=LossWeights)
    """Weights of the loss terms."""
    augment: Augment = field(default_factory=Augment)
    """Augmentation."""
    sizes: FastSizes = field(default_factory=FastSizes)
    """Sizes of the renderer."""
    detector: DetectorSizes = OBJECT_DETECTOR
    """Sizes of the detector of learned keypoints."""
    start_reach: float = 0.15
    """Sigma of every learned keypoint at the start, normalised."""
    shifts_only: float = 0.0
    """Share of the run, at its start, in which learned keypoints move the source by translations
    alone: untrained Jacobians do more harm than good; equivariance trains them meanwhile."""
    patience: float = 0.0
    """Stop when validation has not improved for this share of the run; 0 never does."""
    device: str = "auto"
    """cpu or cuda; auto takes the GPU where there is one."""
    workers: int = 1
    """Threads that prepare batches; a GPU needs about eight."""
    resident: int = 0
    """Number of pairs that are chosen before the run and held, with all frames, on the device where
    batches are drawn from them and augmented; 0: pairs are drawn anew for every batch, by the
    processor."""
    tensorboard: bool = False
    """Write TensorBoard's event files, too."""
    validation_pairs: int = 6
    """Random pairs of each validation clip; reconstruction takes a third as many."""
    validation_sizes: tuple[int, int] = (128, 256)
    """Pixels of the random pairs and of reconstruction."""
    validation_sets: tuple[str, ...] = ("teacher",)
    """Keypoint sets that are validated; the first one for the random pairs."""


@dataclass(frozen=True)
class DistillLosses:
    """One weight a term; 0 leaves the term out."""

    place: float = 1.0
    """Distance in units of the face; keypoints with a small reach count more."""
    jacobian: float = 0.1
    """Relative error of the Jacobians."""
    opening: float = 2.0
    """Error of the vectors between lids, lips and mouth corners."""
    motion: float = 1.0
    """Change of the error between two near frames: a constant error is better than jitter."""
    spread: float = 0.01
    """Log ratio of the heatmap's width to the error that it has to predict."""


@dataclass(frozen=True)
class DistillConfig(LoopConfig):
    """One training of a keypoint detector on the keypoints of a teacher.

    It ends with its steps or with its time, whichever comes first. The learning rate falls as a
    cosine to a hundredth.
    """

    out: Path = Path("runs/distill")
    """Folder of the checkpoint, the curves and the exported weights."""
    steps: int = 5000
    """Number of steps."""
    time_budget_s: float = 0.0
    """Training time, earlier sittings of the run included; 0: no limit."""
    learning_rate: float = 1.5e-3
    """Peak of the learning rate."""
    weight_decay: float = 0.01
    """Weight decay of AdamW, on convolutions alone."""
    threads: int = 1
    """CPU threads of the network."""
    checkpoint_s: float = 60.0
    """Time between two checkpoints."""
    validate_s: float = 300.0
    """Time between two validations."""
    caches: tuple[Path, ...] = (Path("scratch/cache/train"),)
    """Cached clips (see data/cache.py), all with the set below; clips of one frame are pictures."""
    start_from: Path | None = None
    """Detector weights to start from (safetensors), of the same sizes; None begins anew."""
    points: str = "teacher"
    """Keypoint set that is learned."""
    validation: Path = Path("scratch/cache/val")
    """Cached clips of other people."""
    batch: int = 16
    """Windows a step."""
    first_px: int = 96
    """Size of the windows in the first part of the run: smaller, so nearly twice as many in its
    time."""
    first_share: float = 0.5
    """Share of the run that is its first part."""
    paired: float = 0.5
    """Share of the batch that are two near frames of one clip in the same view."""
    losses: DistillLosses = field(default_factory=DistillLosses)
    """Weights of the loss terms."""
    augment: WindowAugment = field(default_factory=WindowAugment)
    """Augmentation."""
    sizes: DetectorSizes = FACE_DETECTOR
    """Sizes of the detector."""
    validation_frames: int = 12
    """Frames of each validation clip."""


def object_settings(size: int) -> dict[str, Any]:
    """Changes to the defaults for keypoints that are learned with the renderer, of any object.

    size: side of the last phase's pictures, and of the pictures at run time. Networks are small and
    the learning rate is high, so that a category is learned in a quarter of an hour; the optical
    flow target, and translations before Jacobians, help at the start (docs/results/ablations.md).
    """
    return {
        "keypoints": "learned",
        "sizes": replace(OBJECT, picture_px=size),
        "learning_rate": 2e-3,
        "ema": 0.995,
        "losses": LossWeights(flow=0.5),
        "shifts_only": 0.3,
    }


def face_settings() -> dict[str, Any]:
    """Changes to the defaults for faces: masks of the open mouth and eyes and the driver's optical
    flow as inputs; many close-ups, and pairs in which mouth or eyes open or close.
    """
    return {
        "sizes": FastSizes(openings=True, optical=True),
        "augment": Augment(close_up=0.6, opposite=0.35),
        "losses": LossWeights(unneeded_paint=0.005, flow=0.3),
    }
