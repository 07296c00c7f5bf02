"""The detector that goes with a renderer of faces: distilled from a teacher, or the shipped one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hybridanim.errors import InputError
from hybridanim.training import plan
from hybridanim.training.data.dataset_index import TRAIN, VALIDATION
from hybridanim.training.gather import Gathered
from hybridanim.training.job import TrainJob, seconds

Say = Callable[[str], None]
FOLDER = "detector"  # of its own training, in that of the run


def distils(job: TrainJob, data: Gathered) -> bool:
    """Whether a detector of faces is trained before the renderer."""
    return data.kind == "face" and data.tracker != "classical" and job.teacher is not None


def detector_of(job: TrainJob, data: Gathered, say: Say) -> Path | None:
    """Weights of the faces' detector: distilled from the teacher, or the program's own."""
    if data.kind != "face" or data.tracker == "classical":
        return None
    from hybridanim.networks.weights import DETECTOR

    if not distils(job, data):
        if not DETECTOR.path.is_file():
            raise InputError(
                f"--tracker {data.tracker}: expected the shipped detector at {DETECTOR.path},"
                " found none; restore it, or give --teacher DIR to train one"
            )
        say(f"Keypoints come from {DETECTOR.path.name}; --teacher DIR would train a detector.")
        return DETECTOR.path
    from hybridanim.training.config import DistillConfig
    from hybridanim.training.detector.trainer import distill

    config = DistillConfig(
        out=job.out / FOLDER,
        caches=(data.listings[TRAIN],),
        points=plan.teaching_set(has_teacher=True),
        validation=data.listings[VALIDATION],
        time_budget_s=plan.DISTILL_SHARE * seconds(job.time_budget),
        seed=job.seed,
        threads=job.threads or DistillConfig.threads,
    )
    say(f"Detector first: {config.time_budget_s / 60:.1f} minutes.")
    return distill(config, say)


def joined(animator: Path, detector: Path, file: Path) -> Path:
    """Renderer and detector in one file."""
    from hybridanim.networks.weights import read_weights, write_weights

    seen = read_weights(detector)
    write_weights(
        file,
        animator=read_weights(animator).animator,
        detector=seen.detector,
        detector_sizes=seen.detector_sizes,
    )
    return file
