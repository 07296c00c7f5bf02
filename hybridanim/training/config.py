"""Every number of training that a user may change."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from hybridanim.networks.build import OBJECT, OBJECT_DETECTOR, DetectorSizes, FastSizes

from .data.pairs import Augment


@dataclass(frozen=True)
class LossWeights:
    """One weight per term; 0 leaves the term out, so an ablation is a config."""

    l1: float = 1.0
    """Mean absolute difference of the result."""
    gradient: float = 1.0
    """Of its finite differences, at three scales."""
    perceptual: float = 0.15
    """Of its SqueezeNet features."""
    warped_l1: float = 0.5
    """L1 and gradient of the warped source alone, so that the flow learns and paint does not hide
    its faults."""
    paint_l1: float = 0.5
    """The same of the paint alone: where alpha is small, paint would learn nothing otherwise, and
    alpha has no reason to grow (mouths stayed shut without it)."""
    emphasis: float = 8.0
    """How much more a pixel at lids and lips counts than one far from them."""
    opened: float = 16.0
    """How much more again a pixel inside an open mouth or eye counts."""
    alpha: float = 0.001
    """Mean of the paint's share: paint by exception."""
    needless: float = 0.0
    """Share of paint where source and driving frame agree: a background that stands stays as it
    is."""
    gan: float = 0.0
    """LSGAN term of a patch discriminator."""
    matching: float = 0.0
    """L1 between the discriminator's activations."""
    equivariance: float = 0.1
    """Learned keypoints: how far places are from following a known warp of the picture."""
    equivariance_jacobian: float = 0.1
    """The same of their Jacobians."""
    flow: float = 0.0
    """Distance of the dense motion to optical flow (DIS), where that is consistent."""


@dataclass(frozen=True)
class Phase:
    """A part of the curriculum."""

    size: int
    """Pictures are size x size pixels."""
    batch: int
    """Pairs a step."""
    share: float
    """Of the time budget, or of the steps."""


@dataclass(frozen=True)
class TrainConfig:
    """One training run."""

    out: Path = Path("runs/train")
    """Checkpoints, best weights, curves and strips."""
    keypoints: Literal["given", "learned"] = "given"
    """given: of the cache's sets, for faces. learned: a detector is trained with the renderer,
    without any labels, for any kind of object."""
    start_from: Path | None = None
    """Weights to start from (safetensors), without an optimiser's state; their sizes hold."""
    cache: Path = Path("scratch/cache/train")
    """Cached training clips (see data_cache)."""
    sets: tuple[str, ...] = ("taught", "fitted")
    """Keypoint sets of the cache that pairs are drawn with; none for all that there are."""
    validation: Path = Path("scratch/cache/val")
    """Cached clips of other people."""
    perceptual_network: Path | None = None
    """SqueezeNet weights, vgg19 (needs torchvision, which fetches its weights), or none: then the
    perceptual term is left out."""
    perceptual_scales: int = 1
    """Sizes that it looks at: 128 pixels, 64, ..."""
    time_budget_s: float = 7200.0
    """Training time, resumed runs counted in."""
    steps: int = 0
    """Steps in all; 0 takes as many as the time allows. With steps the result depends on the seed
    alone, with time also on the machine."""
    phases: tuple[Phase, ...] = (Phase(128, 16, 0.65), Phase(256, 8, 0.35))
    """The curriculum."""
    learning_rate: float = 1e-3
    """Of AdamW, at its height; falls as a cosine to a twentieth over the budget."""
    warmup_steps: int = 100
    """Steps until the learning rate is at its height."""
    discriminator_rate: float = 2e-4
    """Learning rate of the discriminator, when there is one."""
    weight_decay: float = 1e-3
    """Of AdamW."""
    clip_norm: float = 1.0
    """Longest gradient."""
    ema: float = 0.998
    """Weight of the past in the averaged weights."""
    losses: LossWeights = field(default_factory=LossWeights)
    """Weights of the loss terms."""
    augment: Augment = field(default_factory=Augment)
    """Augmentation."""
    sizes: FastSizes = field(default_factory=FastSizes)
    """The network."""
    detector: DetectorSizes = OBJECT_DETECTOR
    """The detector of learned keypoints."""
    start_reach: float = 0.15
    """One sigma of every learned keypoint before it is learned, normalised."""
    shifts_only: float = 0.0
    """Share of the run at its start in which learned keypoints move the source by shifts alone:
    young Jacobians do more harm than good, and learn from equivariance meanwhile."""
    patience: float = 0.0
    """Stop when validation has not improved for this share of the run; 0 never does."""
    seed: int = 1
    """One seed gives one result on a CPU."""
    device: str = "auto"
    """cpu or cuda; auto takes the GPU where there is one."""
    threads: int = 2
    """CPU threads of the networks."""
    workers: int = 1
    """Threads that prepare batches, each one batch ahead; a GPU needs about eight."""
    tensorboard: bool = False
    """Write TensorBoard's event files too."""
    bf16: bool = True
    """Compute convolutions in bfloat16."""
    checkpoint_s: float = 120.0
    """Between checkpoints."""
    validate_s: float = 480.0
    """Between validations and strips."""
    validation_pairs: int = 6
    """Random pairs of each validation clip; reconstruction takes a third as many."""
    validation_sizes: tuple[int, int] = (128, 256)
    """Pixels of the random pairs and of reconstruction."""
    validation_sets: tuple[str, ...] = ("taught",)
    """Keypoint sets that are validated; the first one for the random pairs."""


def object_settings(size: int) -> dict[str, Any]:
    """What differs from the defaults where keypoints are learned with the renderer, for any object.

    size: of the last phase's pictures, and of those that the networks see when they are used. Small
    networks and a high learning rate: a category is to be learned in a quarter of an hour; optical
    flow and shifts before Jacobians help it off the ground (docs/ablations.md).
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
    """What differs from the defaults for faces: the networks are told where mouth and eyes open,
    see them open and close, many times from near, and look at the driver's optical flow.
    """
    return {
        "sizes": FastSizes(openings=True, optical=True),
        "augment": Augment(close_up=0.6, opposite=0.35),
        "losses": LossWeights(needless=0.005, flow=0.3),
    }
