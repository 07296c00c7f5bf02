"""Small networks whose every weight has moved away from its start, and sources for them."""

import numpy as np
import torch

from hybridanim.face.anchors import REACH_BOX
from hybridanim.networks import build
from hybridanim.networks.blocks import Points
from hybridanim.networks.keypoint_detector import KeypointDetector
from hybridanim.networks.monkeynet import MonkeyNet
from hybridanim.networks.sizes import DetectorSizes, FastSizes, MonkeyNetSizes
from hybridanim.types import Crop, HeadBox, Keypoints, Source

TINY = FastSizes((8, 8, 8, 8), 4, deep=8, fine=4, half=8, blocks=1, encoder_blocks=1, picture_px=64)
TINY_DETECTOR = DetectorSizes(5, (8, 8, 8), 32)
TINY_MONKEYNET = MonkeyNetSizes(
    3, 64, 16, detector_widths=(8, 8, 8), motion_widths=(8, 8, 8), widths=(8, 8, 8, 8), blocks=1
)
COUNT = len(REACH_BOX)


def animator(sizes: FastSizes = TINY, seed: int = 3) -> build.Animator:
    """A motion network and generator of face keypoints."""
    torch.manual_seed(seed)
    return _moved(build.fast(sizes))


def detector(sizes: DetectorSizes = TINY_DETECTOR, seed: int = 3) -> KeypointDetector:
    """A keypoint detector."""
    torch.manual_seed(seed)
    return _moved(build.detector(sizes))


def monkeynet(sizes: MonkeyNetSizes = TINY_MONKEYNET, seed: int = 3) -> MonkeyNet:
    """A Monkey-Net."""
    torch.manual_seed(seed)
    return _moved(MonkeyNet(sizes))


def _moved(net):
    with torch.no_grad():
        for weight in net.parameters():
            weight += 0.05 * torch.randn_like(weight)
        for part in net.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                part.running_mean.normal_(0, 0.1)  # pyright: ignore[reportOptionalMemberAccess]
                part.running_var.uniform_(0.5, 2)  # pyright: ignore[reportOptionalMemberAccess]
    return net.eval()


def keypoints(seed: int = 0, count: int = COUNT) -> Keypoints:
    """Random places, and Jacobians near the identity."""
    rng = np.random.default_rng(seed)
    jacobian = 0.9 * np.eye(2) + 0.05 * rng.standard_normal((count, 2, 2))
    xy = rng.uniform(-0.6, 0.6, (count, 2))
    return Keypoints(xy.astype("f4"), jacobian.astype("f4"), np.ones(count, "f4"))


def as_points(found: Keypoints) -> Points:
    """A batch of one for the networks."""
    return Points(torch.from_numpy(found.xy_norm)[None], torch.from_numpy(found.jacobian)[None])


def source(size: int) -> Source:
    """Coloured squares with random keypoints."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (size // 8, size // 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    return Source(
        picture=image,
        crop=Crop(0, 0, size),
        image=image,
        keypoints=keypoints(1),
        head=HeadBox((size / 2, size / 2), size / 2.3),
        subject=np.ones((size, size), np.float32),
        inpainted_background=image,
    )
