"""The Python interface in a page: animate the astronaut by the drawn clip, frame by frame."""

import sys
from pathlib import Path

from skimage import data

if __package__ in (None, ""):  # run as a script: the repository's root is not on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hybridanim import Pipeline, files, io


def main(output: Path = Path("out/animate.mp4"), most_frames: int = 60) -> Path:
    pipeline = Pipeline.load(tracker="classical", size=256)
    pipeline.set_source(data.astronaut())
    output.parent.mkdir(exist_ok=True)
    with (
        io.open_source(files.EXAMPLE_DRIVING) as driving,
        io.open_sink(output, driving.fps, (256, 256), overwrite=True) as sink,
    ):
        for frame in driving:
            sink.write(pipeline.animate(frame.image, frame.time_s), frame.time_s)
            assert pipeline.last is not None
            if frame.index % 30 == 0:
                yaw, pitch, roll = pipeline.last.tracks.rotation_deg
                print(
                    f"{frame.time_s:5.2f} s  yaw {yaw:5.1f}  pitch {pitch:5.1f}  roll {roll:5.1f}"
                )
            if frame.index + 1 == most_frames:
                break
    return output


if __name__ == "__main__":
    print(main())
