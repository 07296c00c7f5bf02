"""Which pose of the driver means "no motion", told to a pipeline before its first frame."""

from __future__ import annotations

from hybridanim.motion.reference import Reference, pictured
from hybridanim.prepare import view as views
from hybridanim.types import Array

from .pipeline import Pipeline


def rest_at(pipeline: Pipeline, reference: Reference, image: Array) -> None:
    """Measure relative motion from ``reference``.

    image: (H, W, 3) uint8 RGB, the driving picture that it is of: the body rests as there.
    """
    view = pipeline.view or views.whole_view(*image.shape[:2])
    image = view(image)
    pipeline.keypoints.set_reference(pictured(reference, image))
    pipeline.track.set_resting(image, reference.head)
