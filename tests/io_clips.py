"""Small clips for the tests of video in and out, written with PyAV alone."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
BITS = 8


def numbered(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    """A picture that carries its number in eight black or white columns, on a grey ramp."""
    image = np.empty((height, width, 3), np.uint8)
    image[:] = np.linspace(60, 190, height, dtype=np.uint8)[:, None, None]
    for bit in range(BITS):
        left, right = width * bit // BITS, width * (bit + 1) // BITS
        image[: height // 2, left:right] = 235 if number >> bit & 1 else 20
    return image


def number_of(image: np.ndarray) -> int:
    """The number that a picture carries, also after lossy coding and scaling."""
    height, width = image.shape[:2]
    number = 0
    for bit in range(BITS):
        column = int(width * (bit + 0.5) / BITS)
        number |= int(image[height // 4 - 2 : height // 4 + 2, column].mean() > 128) << bit
    return number


def corners(width: int = 64, height: int = 48) -> np.ndarray:
    """Red upper left, green upper right, blue lower left, white lower right."""
    image = np.empty((height, width, 3), np.uint8)
    h, w = height // 2, width // 2
    image[:h, :w], image[:h, w:] = (220, 20, 20), (20, 200, 20)
    image[h:, :w], image[h:, w:] = (20, 20, 220), (235, 235, 235)
    return image


def write_clip(
    path: Path,
    images,
    rate=Fraction(25),
    *,
    times=None,
    time_base=None,
    codec="libx264",
    pix_fmt="yuv420p",
    options=None,
    container=None,
    clicks=None,
    sound_codec="aac",
    aspect=None,
    rotation=None,
    sound_start_s=0.0,
) -> Path:
    """Write pictures; ``times`` in ticks of ``time_base``; ``clicks`` = seconds of sound pulses."""
    images = list(images)
    height, width = images[0].shape[:2]
    with av.open(str(path), "w", options=container or {}) as out:
        stream = out.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation is not None:
            stream.set_display_rotation(rotation)
        base = time_base or 1 / Fraction(rate)
        stream.codec_context.time_base = base
        sound = out.add_stream(sound_codec, rate=48_000) if clicks is not None else None
        if sound is not None:
            duration_s = float(len(images) / rate) + 0.1
            _mux_clicks(out, sound, clicks, duration_s, sound_start_s)
        for index, image in enumerate(images):
            layout = "rgb24" if image.shape[2] == 3 else "rgba"
            frame = av.VideoFrame.from_ndarray(image, format=layout)
            frame.pts, frame.time_base = (times[index] if times else index), base
            for packet in stream.encode(frame):
                out.mux(packet)
        for packet in stream.encode(None):
            out.mux(packet)
    return path


def click_track(clicks, duration_s: float, rate: int = 48_000) -> np.ndarray:
    """A quiet mono track with a 4 ms burst of 2 kHz at each of the times."""
    samples = np.zeros(int(duration_s * rate), np.float32)
    burst = np.sin(2 * np.pi * 2000 * np.arange(int(0.004 * rate)) / rate).astype(np.float32)
    for click in clicks:
        at = round(click * rate)
        if at >= 0:
            samples[at : at + len(burst)] += 0.8 * burst[: len(samples[at : at + len(burst)])]
    return samples


def _mux_clicks(out, stream, clicks, duration_s, start_s):
    samples = click_track(clicks, duration_s)
    for at in range(0, len(samples), 1024):
        piece = samples[None, at : at + 1024]
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(piece), format="fltp", layout="mono"
        )
        frame.sample_rate, frame.pts = 48_000, at + round(start_s * 48_000)
        frame.time_base = Fraction(1, 48_000)
        for packet in stream.encode(frame):
            out.mux(packet)
    for packet in stream.encode(None):
        out.mux(packet)


def ffmpeg_rgb(path: Path, width: int, height: int) -> np.ndarray:
    """All frames by the ffmpeg program: (N, height, width, 3), turned upright by ffmpeg."""
    command = [FFMPEG, "-v", "error", "-i", str(path), "-fps_mode", "passthrough"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)


def ffmpeg_sound(path: Path) -> np.ndarray:
    """The sound by the ffmpeg program on the video's clock: mono float32 at 48 kHz."""
    command = [FFMPEG, "-v", "error", "-i", str(path), "-vn", "-af", "aresample=48000:first_pts=0"]
    raw = subprocess.run(
        [*command, "-ac", "1", "-f", "f32le", "-"], capture_output=True, check=True
    )
    return np.frombuffer(raw.stdout, np.float32)


def delay_s(sound: np.ndarray, expected: np.ndarray, rate: int = 48_000) -> float:
    """By how much ``sound`` lags behind ``expected``, from the peak of the cross-correlation."""
    length = 1 << int(np.ceil(np.log2(len(sound) + len(expected))))
    spectrum = np.fft.rfft(sound, length) * np.conj(np.fft.rfft(expected, length))
    lag = int(np.fft.irfft(spectrum, length).argmax())
    return (lag - length if lag > length // 2 else lag) / rate
