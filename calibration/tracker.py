"""A clip of the user -> TrackerProfile: the tracker settings that follow this face best.

    python -m calibration.tracker CLIP --output tracker.toml

Each candidate runs stages 1 and 2 over the same frames. Measured: the median forward-backward error
of its features (Kalal et al. 2010), how long half of them live at least, how many are alive, and
the time a step takes. Chosen: long life and a small error, as long as the step is fast enough.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hybridanim import command_line, paths
from hybridanim.config import SegmentConfig, TrackConfig
from hybridanim.errors import InputError
from hybridanim.io import open_source
from hybridanim.profiles import Origin, TrackerProfile, save_profile
from hybridanim.segmentation import video
from hybridanim.tracking import classical, features
from hybridanim.types import Array, Frame, SkinMask

WORKING_PX = 640  # longer side; what a run uses
_SLOW_MS = 12.0  # a step slower than this costs the real-time budget and is paid for in the score

CANDIDATES = (
    TrackConfig(),
    TrackConfig(window_px=11),
    TrackConfig(window_px=21),
    TrackConfig(pyramid_levels=2),
    TrackConfig(forward_backward_px=0.5),
    TrackConfig(forward_backward_px=2.0),
    TrackConfig(corners="harris"),
    TrackConfig(corners="moravec"),
    TrackConfig(max_features=100),
)


@dataclass(frozen=True)
class Measured:
    """What one candidate did on the clip."""

    config: TrackConfig
    forward_backward_px: float  # median over all features and frames
    life_frames: float  # median, of features found in the first half; to the end counts as lived
    alive: float  # median number of features
    followed: float  # share of frames with a head
    step_ms: float  # median

    @property
    def score(self) -> float:
        """Higher is better: frames of life, less error, enough features, in time."""
        late = max(0.0, self.step_ms / _SLOW_MS - 1)
        enough = min(1.0, self.alive / 40)
        error = 1 + self.forward_backward_px / 0.1
        return self.followed * enough * float(np.sqrt(max(self.life_frames, 0.0))) / error - late


def segmented(frames: Sequence[Frame]) -> list[tuple[Frame, SkinMask]]:
    """Stage 1 once for all candidates."""
    state, pairs = video.initial_state(), []
    for frame in frames:
        state, mask = video.step(state, frame, SegmentConfig(), None)
        pairs.append((frame, mask))
    return pairs


def measure(
    pairs: Sequence[tuple[Frame, SkinMask]],
    config: TrackConfig,
    clock: Callable[[], float] = time.process_time,
) -> Measured:
    """Run one candidate over the frames."""
    state = classical.initial_state()
    errors: list[Array] = []
    lives: dict[int, int] = {}
    alive, times, followed = [], [], 0
    for index, (frame, mask) in enumerate(pairs):
        before = state
        start = clock()
        state, tracks = classical.step(state, frame, mask, config, None)
        times.append(1000 * (clock() - start))
        followed += bool(tracks)
        alive.append(len(tracks.ids))
        for number, age in zip(tracks.ids.tolist(), tracks.age.tolist(), strict=True):
            if index - age < len(pairs) / 2:  # later ones had no time to show how long they live
                lives[number] = age
        errors.append(_returns(before, state, config))
    found = np.concatenate(errors) if errors else np.zeros(0)
    return Measured(
        config,
        float(np.median(found)) if len(found) else float("inf"),
        float(np.median(list(lives.values()))) if lives else 0.0,
        float(np.median(alive)),
        followed / max(1, len(pairs)),
        float(np.median(times)),
    )


def _returns(
    before: classical.TrackState, after: classical.TrackState, config: TrackConfig
) -> Array:
    """Forward-backward errors, in picture pixels, of what was alive before."""
    if before.view is None or after.view is None or before.head is None or not len(before.alive):
        return np.zeros(0, np.float32)
    free = replace(config, forward_backward_px=np.inf)
    shift = np.array(after.shift_px)
    points = before.alive.xy_px
    view, _, _, error = features.follow(
        before.view, after.view.grey, before.head, points, shift, free
    )
    return error[np.isfinite(error)] / view.window.scale


def choose(measured: Sequence[Measured]) -> Measured:
    """The best score, or the first when hardly worse; InputError when none followed a head."""
    best = max(measured, key=lambda m: m.score)
    if measured[0].score >= 0.97 * best.score:
        best = measured[0]  # a gain this small is chance
    if best.followed == 0:
        raise InputError(
            "clip: expected a face that can be followed, found none in any frame;"
            " use a clip in which the face is seen from the front at the start"
        )
    return best


def profile_of(best: Measured, origin: Origin) -> TrackerProfile:
    """The chosen settings as a profile."""
    config = best.config
    return TrackerProfile(
        config.corners,
        config.max_features,
        config.window_px,
        config.pyramid_levels,
        config.forward_backward_px,
        best.forward_backward_px,
        best.life_frames,
        best.step_ms,
        origin,
    )


def table(measured: Sequence[Measured], best: Measured) -> str:
    """What every candidate did, one line each, the chosen one marked."""
    head = "  corners      features  window  levels  limit |  error px  life  alive     ms  score"
    lines = [head]
    for row in measured:
        c = row.config
        lines.append(
            f"{'*' if row is best else ' '} {c.corners:<12} {c.max_features:>8}  {c.window_px:>6}"
            f"  {c.pyramid_levels:>6}  {c.forward_backward_px:>5.2f} |"
            f" {row.forward_backward_px:>9.4f} {row.life_frames:>5.0f} {row.alive:>6.0f}"
            f" {row.step_ms:>6.1f} {row.score:>6.2f}"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return command_line.run("error", lambda: _run(_parser().parse_args(arguments)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m calibration.tracker", description="Choose tracker settings for a clip."
    )
    parser.add_argument("clip", type=Path, help="a video of the person, as it will be used")
    parser.add_argument("--output", type=Path, default=Path("tracker.toml"))
    parser.add_argument("--frames", type=int, default=90, help="how many frames to measure on")
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    return parser


def _run(options: argparse.Namespace) -> int:
    if options.frames < 2:
        raise InputError(f"--frames: expected 2 or more, got {options.frames}; leave it out")
    paths.refuse_replacing(
        [("--output", options.output)], [options.clip], overwrite=options.overwrite
    )
    with open_source(options.clip, max_side_px=WORKING_PX) as source:
        frames = [frame for frame, _ in zip(source, range(options.frames), strict=False)]
    pairs = segmented(frames)
    measured = [measure(pairs, config) for config in CANDIDATES]
    best = choose(measured)
    print(table(measured, best))
    found = profile_of(best, Origin.of(options.clip))
    save_profile(found, options.output, overwrite=options.overwrite)
    print(f"saved {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
