"""Draw docs/results/gallery.md: many kinds of sources, animated by both renderers.

``python -m tools.make_gallery`` writes results/gallery.md and pictures/gallery/*.jpg into docs;
their content is the table tools/gallery/rows.toml. ``--driver CLIP`` animates all
sources by a clip of your own, of which only keypoints are shown.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from hybridanim import command_line, paths

from .gallery import drawing, page, portraits
from .gallery.page import Entry

ROOT = Path(__file__).parents[1]


def make(
    out: Path,
    entries: Sequence[Entry],
    *,
    with_pixels: bool = True,
    size: int = 256,
    cell_px: int = 120,
) -> dict[str, Path]:
    """Draw every entry's row below ``out``; the pictures by the entries' names.

    with_pixels: show the drivers themselves, otherwise only their keypoints. size: side of the
    results in pixels; cell_px: of a cell of the rows.
    """
    folder = out / page.PICTURES
    folder.mkdir(parents=True, exist_ok=True)
    renderers = drawing.Renderers(size)
    found: dict[str, Path] = {}
    for driver in dict.fromkeys(entry.driver for entry in entries):
        group = [entry for entry in entries if entry.driver == driver]
        sources = [portraits.picture(entry.source) for entry in group]
        times = [entry.times_s for entry in group]
        rows = drawing.rows(renderers, driver, sources, times, with_pixels=with_pixels)
        for entry, row in zip(group, rows, strict=True):
            if row.refusal:
                print(f"{entry.name}: {row.refusal}")
                continue
            found[entry.name] = folder / f"{entry.name}.jpg"
            picture = Image.fromarray(drawing.picture(row, cell_px))
            picture.save(found[entry.name], quality=85, optimize=True)
            print(found[entry.name])
    return found


def main(arguments: list[str] | None = None) -> int:
    """Command line: draw the gallery; the exit code."""
    return command_line.run("make_gallery", lambda: _run(arguments))


def _run(arguments: list[str] | None) -> int:
    parser = argparse.ArgumentParser(description="Draw the gallery anew.")
    parser.add_argument("--out", type=Path, help="folder of the gallery; docs without --driver")
    parser.add_argument("--driver", type=Path, help="a clip of your own, in place of all drivers")
    parser.add_argument("--only", nargs="+", help="draw these rows anew, and leave the page")
    parser.add_argument("--text", action="store_true", help="only write the page anew")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace files of another folder than docs"
    )
    given = parser.parse_args(arguments)
    if given.driver is not None and not given.driver.exists():
        parser.error(f"--driver: expected a video, got {given.driver}; check the name")
    entries = page.entries()
    if given.driver is not None:
        entries = page.entries_of_driver(given.driver, portraits.names())
    names = [entry.name for entry in entries]
    unknown = sorted(set(given.only or ()) - set(names))
    if unknown:
        parser.error(f"--only: expected names of rows, got {', '.join(unknown)}; there are {names}")
    out = given.out or (ROOT / "docs" if given.driver is None else Path("out/gallery"))
    chosen = [entry for entry in entries if not given.only or entry.name in given.only]
    _refuse_to_replace(out, given, [entry.name for entry in chosen])
    if not given.text:
        make(out, chosen, with_pixels=given.driver is None)
    places = {name: out / page.PICTURES / f"{name}.jpg" for name in names}
    pictures = {name: path for name, path in places.items() if path.exists()}
    if not given.only:
        text = page.text(entries, pictures)
        (out / page.PAGE).parent.mkdir(parents=True, exist_ok=True)
        (out / page.PAGE).write_text(text, encoding="utf-8")
    size = sum(path.stat().st_size for path in pictures.values())
    print(f"{out}: {len(pictures)} rows, {size / 1e6:.2f} MB of pictures")
    return 0


def _refuse_to_replace(out: Path, given: argparse.Namespace, names: list[str]) -> None:
    """Raise InputError for files that exist; the gallery of this repository is drawn anew."""
    pictures = [] if given.text else [out / page.PICTURES / f"{name}.jpg" for name in names]
    texts = [] if given.only else [out / page.PAGE]
    paths.refuse_replacing(
        [("--out", path) for path in (*pictures, *texts)],
        [given.driver] if given.driver is not None else [],
        overwrite=given.overwrite or out == ROOT / "docs",
    )


if __name__ == "__main__":
    sys.exit(main())
