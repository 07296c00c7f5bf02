"""A published checkpoint of the first-order model (.pth.tar) -> a weights file of this program.

The result goes with --tracker reference --renderer reference --weights FILE, in an animation, live
and in evaluate. Needs torch (the extra train); what it writes runs without.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from hybridanim import paths
from hybridanim.errors import InputError

from .terminal import COMMAND, PROGRAM, listen

_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class ConvertJob:
    """A checkpoint as a weights file."""

    checkpoint: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="CHECKPOINT")]
    """The published file: vox-cpk.pth.tar, vox-adv-cpk, taichi-cpk, fashion, mgif, bair, nemo."""
    output: Path | None = None
    """Where the result goes, a .safetensors file; without it, beside the checkpoint."""
    picture_px: int = 256
    """Side of the pictures that the checkpoint was trained on; all published ones: 256."""
    align_corners: bool = True
    """Whether -1 and 1 of its flow are the centres of the outer cells, as they were when the
    published files were trained. Off: as programs with torch 1.3 and later run them, which
    enlarges the picture a little and darkens its rim."""
    overwrite: bool = False
    """Replace the output if it exists."""

    @property
    def written(self) -> Path:
        """The output, or its name beside the checkpoint."""
        name = self.checkpoint.name
        for ending in (".pth.tar", ".pth", ".tar", ".pt"):
            if name.endswith(ending) and name != ending:
                name = name.removesuffix(ending)
                break
        return self.output or self.checkpoint.with_name(name + _SUFFIX)

    def __post_init__(self) -> None:
        if self.written.suffix != _SUFFIX:
            raise InputError(
                f"--output: expected a name that ends in {_SUFFIX}, got {str(self.output)!r}; add"
                " the ending"
            )
        if not 32 <= self.picture_px <= 1024:
            raise InputError(
                f"--picture-px: expected 32 to 1024, got {self.picture_px}; published: 256"
            )


def command(argv: list[str]) -> int:
    """Run the subcommand ``convert``; returns the exit code."""
    listen()
    prog = f"{PROGRAM} convert"
    job = tyro.cli(ConvertJob, args=argv, prog=prog, description=__doc__)
    for line in convert(job):
        print(line)
    return 0


def convert(job: ConvertJob) -> list[str]:
    """Write the weights file; what to tell of it. InputError as ``read_checkpoint``."""
    from hybridanim.networks import first_order_checkpoint, first_order_file

    paths.refuse_replacing([("--output", job.written)], [job.checkpoint], overwrite=job.overwrite)
    found = first_order_checkpoint.read_checkpoint(
        job.checkpoint, picture_px=job.picture_px, align_corners=job.align_corners
    )
    first_order_file.write(job.written, found.tensors, found.sizes)
    sizes = found.sizes
    maps = {0: "none", 1: "one for all"}.get(sizes.jacobians, "one for each")
    numbers = sum(value.size for value in found.tensors.values())
    left = f"; left out: {', '.join(found.left_out)}" if found.left_out else ""
    return [
        f"{job.checkpoint.name}: {sizes.count} keypoints, Jacobian maps: {maps},"
        f" {numbers / 1e6:.1f} million numbers, {sizes.picture_px} pixels{left}",
        str(job.written),
        f"{COMMAND} SOURCE DRIVING --tracker reference --renderer reference --weights"
        f" {job.written}",
    ]
