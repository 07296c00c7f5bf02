"""Metric values -> a table of text: methods as rows; the head has units and which way is better.

The values are those of scores.pooled; its docstring and metrics.py define them.
"""

from __future__ import annotations

from typing import Any

UP, DOWN, ONE = "\u2191", "\u2193", "=1"  # better higher, lower, or as near 1 as can be
# name in JSON -> head, better, decimals; in the order of the table
COLUMNS: dict[str, dict[str, tuple[str, str, int]]] = {
    "pictures": {
        "l1": ("L1", DOWN, 4),
        "psnr": ("PSNR dB", UP, 2),
        "ssim": ("SSIM", UP, 3),
        "eyes_l1": ("L1 eyes", DOWN, 4),
        "mouth_l1": ("L1 mouth", DOWN, 4),
        "face_l1": ("L1 face", DOWN, 4),
        "around_l1": ("L1 hair, body", DOWN, 4),
        "background_psnr": ("back PSNR dB", UP, 1),
        "sharpness": ("sharp", ONE, 2),
        "follow_ms": ("follow ms", DOWN, 1),
        "render_ms": ("render ms", DOWN, 1),
        "lpips": ("LPIPS", DOWN, 3),
        "fid": ("FID", DOWN, 1),
    },
    "faces": {
        "akd_px": ("AKD px", DOWN, 2),
        "mkr": ("MKR", DOWN, 3),
        "body_akd_px": ("AKD body px", DOWN, 2),
        "body_mkr": ("MKR body", DOWN, 3),
        "miss": ("miss", DOWN, 3),
        "csim": ("CSIM", UP, 3),
        "aed": ("AED", DOWN, 3),
        "face_sharpness": ("face sharp", ONE, 2),
        "pose_deg": ("pose deg", DOWN, 2),
        "yaw_gain": ("yaw gain", ONE, 2),
        "jitter": ("jitter x", DOWN, 2),
        "jitter_beyond_px": ("beyond px", DOWN, 2),
        "eyes_correlation": ("eyes r", UP, 2),
        "eyes_gain": ("eyes gain", ONE, 2),
        "mouth_correlation": ("mouth r", UP, 2),
        "mouth_gain": ("mouth gain", ONE, 2),
        "width_correlation": ("width r", UP, 2),
        "width_gain": ("width gain", ONE, 2),
    },
}


def table(result: dict[str, Any], *, markdown: bool = False) -> str:
    """A table of picture metrics and one of face metrics; columns without values are left out."""
    methods = result["methods"]
    parts = []
    for columns in COLUMNS.values():
        shown = {n: c for n, c in columns.items() if any(n in row for row in methods.values())}
        if not shown:
            continue
        rows = [["method", *(f"{head} {better}" for head, better, _ in shown.values())]]
        for name, row in methods.items():
            cells = [f"{row[n]:.{c[2]}f}" if n in row else "-" for n, c in shown.items()]
            rows.append([name, *cells])
        parts.append(layout(rows, markdown=markdown))
    return "\n\n".join(parts)


def layout(rows: list[list[str]], *, markdown: bool = False) -> str:
    """Rows of cells as lines of text, the head first: aligned columns, or Markdown."""
    return "\n".join(_markdown(rows) if markdown else _aligned(rows))


def _aligned(rows: list[list[str]]) -> list[str]:
    """Names on the left, values aligned on the right of their columns."""
    sizes = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [f"{cell:>{size}}" for cell, size in zip(others, sizes[1:], strict=True)]
        lines.append("  ".join([f"{first:<{sizes[0]}}", *cells]))
    return lines


def _markdown(rows: list[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return [lines[0], "|---" * len(rows[0]) + "|", *lines[1:]]


def headline(result: dict[str, Any]) -> str:
    """One line: what was measured, over how many clips and frames."""
    stopped = ", interrupted: those done so far" if result["interrupted"] else ""
    things = "pairs" if result["kind"] == "cross-identity" else "clips"
    count = f"{result['clips']} {things}, {result['frames']} frames measured{stopped}"
    return f"{result['kind']}: {count} ({result['definition']})"
