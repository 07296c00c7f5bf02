"""Every number of the keypoint detector's training that a user may change."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hybridanim.networks.build import FACE_DETECTOR, DetectorSizes


@dataclass(frozen=True)
class WindowAugment:
    """How far the training windows go beyond what the tracker will show."""

    flip: float = 0.5
    """Share of mirrored windows."""
    shift_heads: float = 0.13
    """Largest error of the window's middle, each way; most are small."""
    grow: tuple[float, float] = (0.8, 1.25)
    """Smallest and largest error of the window's size; most are small."""
    roll_deg: float = 38.0
    """Largest turn of the picture; most are small."""
    shear: float = 0.06
    """Largest stretch and shear: other shapes of face."""
    colour: float = 0.3
    """Largest change of brightness, contrast and saturation; a third of it for hue."""
    cover: float = 0.2
    """Share of windows with something before the face."""
    spoil: float = 0.4
    """Share of windows that are blurred, shrunk, grey, unevenly lit, compressed or noisy."""
    empty: float = 0.04
    """Share of windows whose face is covered up: they teach doubt."""


PLAIN = WindowAugment(0, 0, (1, 1), 0, 0, 0, 0, 0, 0)
"""The window as it is."""


@dataclass(frozen=True)
class DistillLosses:
    """One weight a term; 0 leaves it out."""

    place: float = 1.0
    """Distance in units of the face, small keypoints counting more."""
    jacobian: float = 0.1
    """Relative error of the local affines."""
    opening: float = 2.0
    """Error of lids, lips and mouth corners against each other."""
    motion: float = 1.0
    """Error of the step between two near frames: a steady error is better than a shaking one."""
    spread: float = 0.01
    """The heatmap's width against the error that it has to tell."""


@dataclass(frozen=True)
class DistillConfig:
    """One training of a keypoint detector on the keypoints of a teacher."""

    out: Path = Path("runs/distill")
    """Checkpoint, curves and the exported weights."""
    caches: tuple[Path, ...] = (Path("scratch/cache/train"),)
    """Cached clips (see data_cache), all with the set below; single frames are pictures."""
    start_from: Path | None = None
    """Detector weights to start from (safetensors), of the same sizes; None begins anew."""
    points: str = "taught"
    """Keypoint set that is learned."""
    validation: Path = Path("scratch/cache/val")
    """Cached clips of other people."""
    steps: int = 5000
    """Steps in all."""
    time_budget_s: float = 0.0
    """Training time, resumed runs counted in; 0 for no limit. The learning rate follows whichever
    is nearer its end."""
    batch: int = 16
    """Windows a step."""
    first_px: int = 96
    """Windows of the first part of the training are smaller: nearly twice as many in its time."""
    first_share: float = 0.5
    """How long that part is, of the whole."""
    paired: float = 0.5
    """Share of the batch that are two near frames of one clip in the same view."""
    learning_rate: float = 1.5e-3
    """Of AdamW, at its height; falls as a cosine to a hundredth."""
    warmup_steps: int = 100
    """Steps until the learning rate is at its height."""
    weight_decay: float = 0.01
    """Of AdamW."""
    clip_norm: float = 1.0
    """Longest gradient."""
    ema: float = 0.998
    """Weight of the past in the averaged weights, which are the result."""
    losses: DistillLosses = field(default_factory=DistillLosses)
    """Weights of the loss terms."""
    augment: WindowAugment = field(default_factory=WindowAugment)
    """Augmentation."""
    sizes: DetectorSizes = FACE_DETECTOR
    """The network."""
    seed: int = 1
    """One seed gives one result on a CPU."""
    threads: int = 1
    """CPU threads."""
    bf16: bool = True
    """Compute convolutions in bfloat16."""
    checkpoint_s: float = 60.0
    """Between checkpoints."""
    validate_s: float = 300.0
    """Between validations."""
    validation_frames: int = 12
    """Frames of each validation clip."""
