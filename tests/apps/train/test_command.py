"""The word ``train``: from a folder of clips to weights, its errors, Ctrl-C and going on."""

import csv
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from apps.main import main
from hybridanim.errors import InputError
from hybridanim.training import plan
from hybridanim.training.data.augment import Augment
from hybridanim.training.job import TrainJob, seconds
from tests import data_clips, synthetic

ROOT = Path(__file__).parents[3]
TINY = """
bf16 = false
checkpoint_s = 0.5
validate_s = 1e9
validation_pairs = 2
warmup_steps = 2
[losses]
equivariance = 0.2
[augment]
turn_deg = 5
[sizes]
motion_widths = [16, 16, 16, 16]
motion_features = 8
deep = 16
fine = 8
half = 16
blocks = 1
encoder_blocks = 1
[[phases]]
size = 32
batch = 2
share = 1.0
"""


ABLATIONS = ROOT / "examples" / "monkeynet"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for i in range(4):
        data_clips.write(folder / f"thing{i}.mp4", data_clips.scene(i, 10))
    (folder / "torn.mp4").write_bytes(b"torn")
    return folder


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    file = tmp_path / "tiny.toml"
    file.write_text(TINY)
    return file


def words(clips: Path, out: Path, tiny: Path, *more: str) -> list[str]:
    known = ["--data", str(clips), "--out", str(out), "--config", str(tiny), "--size", "32"]
    return ["train", *known, "--kind", "object", "--workers", "1", "--threads", "1", *more]


def test_from_a_folder_to_weights(clips: Path, tmp_path: Path, tiny: Path, capsys) -> None:
    out = tmp_path / "run"
    assert main(words(clips, out, tiny, "--steps", "3")) == 0
    said = capsys.readouterr().out
    assert "left out: torn: unreadable" in said
    assert f"--weights {out / 'best.safetensors'}" in said and "--tracker learned" in said
    assert (out / "data" / "left_out.txt").read_text().startswith("torn: unreadable")
    from hybridanim.networks.weights import read_weights

    found = read_weights(out / "best.safetensors")
    assert found.kind == "object" and found.detector is not None and found.animator is not None
    rows = list(csv.DictReader((out / "curves.csv").open()))
    assert float(rows[-1]["step"]) == 3 and list(out.glob("strip_000003_*.png"))
    # it goes on from there, and then has had its steps
    assert main(words(clips, out, tiny, "--steps", "5")) == 0
    rows = list(csv.DictReader((out / "curves.csv").open()))
    assert float(rows[-1]["step"]) == 5
    assert "resumed at step 3" in (out / "train.log").read_text()
    assert main(words(clips, out, tiny, "--steps", "5")) == 0
    assert "nothing is left to train" in capsys.readouterr().out
    # other networks do not fit the checkpoint
    tiny.write_text(TINY.replace("deep = 16", "deep = 24"))
    assert main(words(clips, out, tiny, "--steps", "6")) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main(words(clips, out, tiny, "--steps", "1", "--overwrite")) == 0
    rows = list(csv.DictReader((out / "curves.csv").open()))
    assert len(rows) == 1 and float(rows[0]["step"]) == 1


def test_a_monkeynet_from_a_folder_to_a_picture(clips: Path, tmp_path: Path, capsys) -> None:
    out, tiny = tmp_path / "run", tmp_path / "tiny.toml"
    tiny.write_text(
        "[sizes]\ncount = 3\npicture_px = 32\nmotion_px = 16\ndetector_widths = [8, 8]\n"
        "motion_widths = [8, 8]\nwidths = [8, 8]\nblocks = 1\n[losses]\ngan = 0\nmatching = 0\n"
        "[[phases]]\nsize = 32\nbatch = 2\nshare = 1.0\n"
    )
    given = words(clips, out, tiny, "--steps", "2", "--model", "monkeynet")
    assert main(given) == 0
    said = capsys.readouterr().out
    assert "for the monkeynet tracker" in said
    assert f"--tracker monkeynet --renderer monkeynet --weights {out / 'best.safetensors'}" in said
    assert main([*given, "--steps", "3"]) == 0
    assert "resumed at step 2" in (out / "train.log").read_text()
    made = tmp_path / "made.mp4"
    run = [str(clips / "thing1.mp4"), str(clips / "thing2.mp4"), "--output", str(made)]
    run += ["--tracker", "monkeynet", "--renderer", "monkeynet", "--crop", "none"]
    assert main([*run, "--weights", str(out / "best.safetensors"), "--quiet"]) == 0
    assert made.stat().st_size > 1000


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--teacher", "."], "--teacher: expected none with --model monkeynet"),
        (["--batch", "auto"], "--batch auto: expected none"),
        (["--preset", "gpu"], "--preset gpu: expected none"),
        (["--start-from", "fast"], "--start-from fast: expected none"),
        (["--tracker", "learned"], "--tracker learned: expected another for --model monkeynet"),
    ],
)
def test_options_that_a_monkeynet_has_no_use_for(more, said, clips: Path, tmp_path: Path, capsys):
    given = ["--data", str(clips), "--out", str(tmp_path / "run"), "--model", "monkeynet"]
    assert said in error_of(capsys, *given, *more)


@pytest.mark.parametrize("file", sorted(ABLATIONS.glob("*.toml")), ids=lambda path: path.stem)
def test_the_ablations_of_a_monkeynet_are_settings(file: Path, tmp_path: Path) -> None:
    job = TrainJob(data=tmp_path, model="monkeynet", config=file, size=64)
    own, full = (plan.monkeynet_config(x).sizes for x in (job, replace(job, config=None)))
    changed = [n for n, value in vars(own).items() if value != getattr(full, n)]
    assert len(changed) == 1 and getattr(own, changed[0]) is False


@pytest.mark.slow
def test_faces_with_the_classical_tracker(tmp_path: Path, tiny: Path, capsys) -> None:
    """Two drawn heads: kind and tracker are chosen, keypoints found, the renderer trained."""
    for tone in ("light", "dark"):
        frames = [one.image for one in synthetic.driving_head(0.0, 16, 256, tone=tone, hands=False)]
        data_clips.write(tmp_path / "in" / f"{tone}.mp4", frames)
    out = tmp_path / "run"
    given = ["train", "--data", str(tmp_path / "in"), "--out", str(out), "--config", str(tiny)]
    assert main([*given, "--size", "64", "--steps", "2", "--threads", "1"]) == 0
    said = capsys.readouterr().out
    assert "faces, for the classical tracker" in said and "--tracker classical" in said
    from hybridanim.networks.weights import read_header

    header = read_header(out / "best.safetensors")
    assert header.kind == "face" and header.detector is None


@pytest.mark.slow
def test_interrupted_it_saves_and_goes_on(clips: Path, tmp_path: Path, tiny: Path) -> None:
    out = tmp_path / "run"
    run = [sys.executable, str(ROOT / "run_pipeline.py")]
    run += words(clips, out, tiny, "--steps", "100000")
    child = subprocess.Popen(
        run,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=synthetic.interruptible,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    start = time.monotonic()
    while not (out / "checkpoint.pt").is_file() and time.monotonic() - start < 90:
        time.sleep(0.2)
    child.send_signal(signal.SIGINT)
    said, wrong = child.communicate(timeout=60)
    assert child.returncode == 130, wrong
    assert "go on" in said and "Traceback" not in wrong
    rows = list(csv.DictReader((out / "curves.csv").open()))
    import torch

    state = torch.load(out / "checkpoint.pt", weights_only=True)
    assert state["step"] == int(float(rows[-1]["step"])) > 0


def error_of(capsys, *given: str) -> str:
    """What the command line says; in options themselves, the parser says it and exits."""
    try:
        code = main(["train", *given])
    except SystemExit as left:
        code = left.code
    assert code == 2
    return " ".join(capsys.readouterr().err.split())


def test_errors_in_three_parts(clips: Path, tmp_path: Path, capsys) -> None:
    data, out = ["--data", str(clips)], ["--out", str(tmp_path / "o")]
    (tmp_path / "empty").mkdir()
    assert "found none" in error_of(capsys, "--data", str(tmp_path / "empty"), *out)
    assert "for example 2h" in error_of(capsys, *data, *out, "--time-budget", "soon")
    assert "multiple of 32" in error_of(capsys, *data, *out, "--size", "100")
    assert "follows faces" in error_of(
        capsys, *data, *out, "--kind", "object", "--tracker", "classical"
    )
    (tmp_path / "file").write_text("x")
    said = error_of(capsys, *data, "--out", str(tmp_path / "file" / "o"))
    assert "choose another place" in said
    assert "expected a file, vgg19" in error_of(capsys, *data, *out, "--perceptual", "x.bin")
    assert "landmark networks" in error_of(capsys, *data, *out, "--teacher", str(tmp_path))
    still = tmp_path / "still"
    data_clips.write(still / "a.mp4", data_clips.scene(1, 1) * 12)
    said = error_of(capsys, "--data", str(still), *out, "--kind", "object", "--size", "64")
    assert "static: nothing moves" in said
    assert "expected none, fast" in error_of(
        capsys, *data, *out, "--kind", "object", "--start-from", "nowhere"
    )
    said = error_of(capsys, *data, *out, "--kind", "object", "--start-from", "fast")
    assert "weights for --kind object" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gan = ", "TOML"),
        ("[losses]\nsharpness = 1", "known option"),
        ("learning_rate = 'fast'", "a number"),
        ("out = 'x'", "give --out"),
        ("[augment]\nflp = 1", "did you mean flip"),
    ],
)
def test_settings_files_are_checked(text: str, said: str, tmp_path: Path, clips: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=said):
        plan.config(TrainJob(clips, config=file), "object", "learned")


def test_settings_change_what_they_name_and_nothing_else(tmp_path: Path, clips: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text("weight-decay = 0.5\n[losses]\ngan = 0.1\n[detector]\ncount = 7\n")
    plain = plan.config(TrainJob(clips), "object", "learned")
    found = plan.config(TrainJob(clips, config=file, seed=5), "object", "learned")
    assert (found.weight_decay, found.losses.gan, found.detector.count) == (0.5, 0.1, 7)
    assert found.losses.l1 == plain.losses.l1 and found.detector.size == plain.detector.size
    assert found.seed == 5 and found.keypoints == "learned"
    assert found.augment.close_up == found.augment.opposite == 0


def test_settings_ask_for_close_ups_and_opposite_pairs(tmp_path: Path, clips: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text("[augment]\nclose-up = 0.5\nopposite = 0.25\n")
    found = plan.config(TrainJob(clips, config=file), "face", "classical")
    assert found.augment == replace(Augment(), close_up=0.5, opposite=0.25)


@pytest.mark.parametrize("tracker", ["classical", "learned", "hybrid"])
@pytest.mark.parametrize("has_teacher", [False, True])
def test_the_renderer_learns_what_its_tracker_gives(tracker: str, has_teacher: bool) -> None:
    sets = plan.renderer_sets(tracker, has_teacher=has_teacher)
    assert set(plan.validation_sets(tracker)) <= set(sets)
    assert ("teacher" in sets) == has_teacher


@pytest.mark.parametrize(
    ("text", "truth"), [("2h", 7200), ("90m", 5400), ("45s", 45), ("30", 30), ("1h30m", 5400)]
)
def test_lengths_of_time(text: str, truth: float) -> None:
    assert seconds(text) == truth


@pytest.mark.parametrize("text", ["", "h", "2 weeks", "-1h", "0s", "1h??"])
def test_no_lengths_of_time(text: str) -> None:
    with pytest.raises(InputError, match="for example 2h"):
        seconds(text)


def test_sizes_give_their_curriculum() -> None:
    for size in (32, 64, 128, 256, 512):
        table = plan.curriculum(size)
        phases = table["phases"]
        assert phases[-1].size == size and sum(phase.share for phase in phases) == 1
        assert all(phase.size % 32 == 0 for phase in phases)
        assert np.diff([phase.size for phase in phases]).min(initial=0) >= 0


@pytest.mark.slow
def test_under_torchrun_one_process_speaks(clips: Path, tmp_path: Path, tiny: Path) -> None:
    out = tmp_path / "run"
    tiny.write_text(TINY.replace("batch = 2", "batch = 4"))  # two rows a process, for the norms
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    run += [str(ROOT / "run_pipeline.py"), *words(clips, out, tiny, "--steps", "3")]
    done = subprocess.run(
        run, capture_output=True, text=True, timeout=240, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Animate with it") == 1
    rows = list(csv.DictReader((out / "curves.csv").open()))
    assert [float(row["step"]) for row in rows] == [3] and float(rows[0]["samples"]) == 12


@pytest.mark.slow
def test_two_machines_train_together(clips: Path, tmp_path: Path, tiny: Path) -> None:
    """Two launchers that meet at a port, as on two machines with a folder in common."""
    out = tmp_path / "run"
    tiny.write_text(TINY.replace("batch = 2", "batch = 4"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    run = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
    run += ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}", "--rdzv-id", "test"]
    run += ["--local-addr", "127.0.0.1", str(ROOT / "run_pipeline.py")]
    run += words(clips, out, tiny, "--steps", "3")
    machines = [
        subprocess.Popen(
            run,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        )
        for _ in range(2)
    ]
    said = [machine.communicate(timeout=240)[0] for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], said
    assert sum(text.count("Animate with it") for text in said) == 1
    rows = list(csv.DictReader((out / "curves.csv").open()))
    assert [float(row["step"]) for row in rows] == [3] and float(rows[0]["samples"]) == 12
