"""Runs cases of the corpus and checks what they leave, one JSON line each.

    python -m tests.hostile.run KIT FOLDER < numbers

Most cases call the program's ``main`` in this process, with its streams in files; a new process for
each of hundreds of cases would take a quarter of an hour. Cases with ``shell`` are processes of
their own. The parent (``test_corpus``) ends a worker that takes too long.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tomllib
import traceback
from collections.abc import Iterator
from pathlib import Path

import av
from PIL import Image

from . import corpus
from .corpus import Case

ROOT = Path(__file__).parents[2]
MOST_BYTES = 12 << 30  # address space: what asks for more memory ends with an error
OWN_PROCESS_S = 120
BAD_WORDS = ("Traceback", "Exception ignored", "Fatal Python", "Segmentation", "core dumped")
PARTS = re.compile(r"expected .*(got|found|but|went|is|has|lacks) ?.*[;:]", re.S)
PARSER = re.compile(
    r"usage:|Error parsing|Parsing error|Unrecognized|Missing|Required|invalid choice|error:", re.S
)


def main() -> None:
    kit, folder = (Path(word) for word in sys.argv[1:])
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    answers = os.fdopen(os.dup(1), "w")
    cases = corpus.cases()
    for line in sys.stdin:
        number = int(line)
        place = folder / str(number)
        place.mkdir()
        problems = run(cases[number], kit, place)
        shutil.rmtree(place, ignore_errors=True)
        print(json.dumps({"number": number, "problems": problems}), file=answers, flush=True)


def run(case: Case, kit: Path, place: Path) -> list[str]:
    """Prepare the folder, run the case in it, and return what is wrong."""
    work = place / "work"
    work.mkdir()
    for name in case.takes:
        copy = shutil.copytree if (kit / name).is_dir() else shutil.copy
        copy(kit / name, work / name)
    before_place = Path.cwd()
    os.chdir(work)
    try:
        case.prepare(work)
        before = contents(work)
        start = own_process if case.shell else in_process
        code, text = start(case, place)
    finally:
        os.chdir(before_place)
    return [*said_wrong(case, code, text), *left_wrong(case, code, before, contents(work), work)]


def in_process(case: Case, place: Path) -> tuple[int, str]:
    """Exit code, and both streams, of the program's ``main`` in this process."""
    module = "apps.main" if case.program == "run" else case.program
    program = importlib.import_module(module).main
    with streams(place) as log:
        try:
            code = program(list(case.words))
        except SystemExit as end:
            code = end.code
            if isinstance(code, str):
                print(code, file=sys.stderr)
                code = 1
        except BaseException:
            traceback.print_exc()
            code = 1
    return int(code or 0), log.read_text(errors="replace")


@contextlib.contextmanager
def streams(place: Path) -> Iterator[Path]:
    """Send both streams into a file, those of compiled code too."""
    log = place / "log"
    kept = [os.dup(number) for number in (1, 2)]
    python = sys.stdout, sys.stderr
    with open(log, "w", buffering=1) as out:
        for number in (1, 2):
            os.dup2(out.fileno(), number)
        sys.stdout = sys.stderr = out
        try:
            yield log
        finally:
            sys.stdout, sys.stderr = python
            for number, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, number)
                os.close(copy)


def own_process(case: Case, place: Path) -> tuple[int, str]:
    """Exit code and error stream of a shell that runs the program as a user does."""
    start = "run_pipeline.py" if case.program == "run" else f"-m {case.program}"
    start = f'"{ROOT / start}"' if case.program == "run" else start
    program = f'"{sys.executable}" {start}'
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PROGRAM": program}
    command = case.shell.replace("PROGRAM", program)
    with subprocess.Popen(
        ["bash", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        try:
            text, _ = process.communicate(timeout=OWN_PROCESS_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            text, _ = process.communicate()
            return 99, f"no end within {OWN_PROCESS_S} s\n" + text.decode(errors="replace")
    return process.returncode, text.decode(errors="replace")


def said_wrong(case: Case, code: int, text: str) -> list[str]:
    """What is wrong with exit code and words."""
    found = [f"{word}: {text[-1500:]}" for word in BAD_WORDS if word in text]
    if re.search(r"\b\w*Warning: ", text):
        found.append(f"a warning of Python: {text[-800:]}")
    if case.ends == "done" and code:
        found.append(f"expected exit code 0, got {code}: {text[-800:]}")
    if case.ends == "refused" and not code:
        found.append(f"expected another exit code than 0: {text[-800:]}")
    if code not in (0, 2, *case.codes):
        found.append(f"exit code {code}: {text[-800:]}")
    plain = " ".join(text.split())
    is_silent = "2>&-" in case.shell
    if code == 2 and not is_silent and not (PARTS.search(plain) or PARSER.search(plain)):
        found.append(f"no message in three parts: {text[-800:]}")
    return found


def contents(folder: Path) -> dict[bytes, str]:
    """Name -> kind, and SHA-256 or target, of everything below a folder."""
    found = {}
    for path, folders, files in os.walk(os.fsencode(folder)):
        for name in (*folders, *files):
            whole = os.path.join(path, name)
            found[os.path.relpath(whole, os.fsencode(folder))] = described(whole)
    return found


def described(path: bytes) -> str:
    mode = os.lstat(path).st_mode
    if stat.S_ISREG(mode):
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return f"link to {os.readlink(path)!r}" if stat.S_ISLNK(mode) else oct(stat.S_IFMT(mode))


def left_wrong(
    case: Case, code: int, before: dict[bytes, str], after: dict[bytes, str], work: Path
) -> list[str]:
    """What is wrong with the files: lost or changed ones, parts, half-written ones."""
    replaced = {os.fsencode(name) for name in case.replaces} if not code else set()
    found = [
        f"{name!r} was {kind}, is {after.get(name, 'lost')}"
        for name, kind in before.items()
        if name not in replaced and after.get(name) != kind
    ]
    new = [name for name in after if name not in before]
    new = [name for name in new if name.split(b"/")[0] not in case.leaves]
    found += [f"a part is left: {name!r}" for name in new if is_part(name)]
    is_kept = not code or case.keeps
    if new and not is_kept:
        found.append(f"exit code {code}, but new files: {new}")
    if is_kept:
        found += [f"not whole: {name!r}" for name in (*new, *replaced) if not is_whole(work, name)]
    for name in case.makes:
        if not code and os.fsencode(name) not in after:
            found.append(f"exit code 0 without {name}")
    return found


def is_part(name: bytes) -> bool:
    last = name.split(b"/")[-1]
    return last.startswith(b".") or last.endswith((b".part", b".partial"))


def is_whole(work: Path, name: bytes) -> bool:
    """Whether a file can be read to its end, as its ending says."""
    path = Path(os.fsdecode(os.path.join(os.fsencode(work), name)))
    if path.is_dir():
        return True
    kind = path.suffix.lower()
    try:
        if kind == ".json":
            json.loads(path.read_text(encoding="utf-8"))
        elif kind == ".toml":
            tomllib.loads(path.read_text(encoding="utf-8"))
        elif kind in (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tiff"):
            with Image.open(path) as picture:
                picture.load()
        elif kind in (".mp4", ".mov", ".mkv", ".webm", ".gif", ".avi"):
            with open(path, "rb") as file, av.open(file) as container:
                return sum(1 for _ in container.decode(video=0)) > 0
    except (OSError, ValueError, av.error.FFmpegError):
        return False
    return path.stat().st_size > 0


if __name__ == "__main__":
    main()
