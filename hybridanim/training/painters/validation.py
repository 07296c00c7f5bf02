"""Painter and pairs of other people -> errors on lips or lids, by how much they open, and detail.

The same figures of the source's own window (copy) and of the warped window stand beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from hybridanim.networks.painters import PainterNetwork
from hybridanim.types import Array

from . import samples
from .samples import Batch, Pairs
from .tensors import at_device, composed

_MOST = 360  # pairs
_BATCH = 50
_MUCH = {"mouth": 0.03, "eye": 0.012}  # head sizes: openings that change much
_STRIP = 12  # pairs that are shown


def chosen(pairs: Pairs) -> list[int]:
    """Numbers of the pairs that are measured: such that change, and some others, of all clips."""
    rng = np.random.default_rng(11)
    count = min(_MOST, int((pairs.weight > 0).sum()))
    return sorted(rng.choice(len(pairs.places), count, False, pairs.weight))


def batches(pairs: Pairs, numbers: Sequence[int]) -> list[Batch]:
    """Batches of these pairs as they are."""
    return [
        samples.of_rows(pairs.kind, [samples.plain(pairs.row(i)) for i in numbers[k : k + _BATCH]])
        for k in range(0, len(numbers), _BATCH)
    ]


def validate(
    net: PainterNetwork, pairs: Pairs, numbers: Sequence[int], given: Sequence[Batch]
) -> dict[str, float]:
    """Mean absolute errors in [0, 1] on lips or lids; gradient energy over the truth's."""
    errors: dict[str, list[Array]] = {"copy": [], "warped": [], "painted": []}
    energy: dict[str, list[Array]] = {"true": [], "warped": [], "painted": []}
    for batch in given:
        result = _painted(net, batch)
        weight = batch.region
        pictures = {"copy": batch.own, "warped": batch.warped, "painted": result}
        for name, picture in pictures.items():
            off = np.abs(picture - batch.true).mean(1, keepdims=True)
            errors[name].append((off * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3)))
        for name in energy:
            energy[name].append(_energy(batch.true if name == "true" else pictures[name], weight))
    change = pairs.change[list(numbers)]
    much = np.abs(change) > _MUCH[pairs.kind.name]
    bins = {"": np.ones(len(change), bool), "_opens": much & (change > 0),
            "_shuts": much & (change < 0)}  # fmt: skip
    out = {}
    for name, parts in errors.items():
        values = np.concatenate(parts)
        out |= {f"{name}{b}": float(values[rows].mean()) for b, rows in bins.items() if rows.any()}
    total = {name: np.concatenate(parts) for name, parts in energy.items()}
    for name in ("warped", "painted"):
        out[f"detail_{name}"] = float(np.mean(np.sqrt(total[name] / (total["true"] + 1e-6))))
        if much.any():
            share = total[name][much].sum() / (total["true"][much].sum() + 1e-9)
            out[f"detail_{name}_much"] = float(np.sqrt(share))
    return out


def _painted(net: PainterNetwork, batch: Batch) -> Array:
    tensors = at_device(batch, next(net.parameters()).device)
    with torch.inference_mode():
        found = net(tensors.inputs, tensors.quantities)
        return composed(tensors, *found)[0].clamp(0, 1).cpu().numpy()


def _energy(picture: Array, weight: Array) -> Array:
    """(B,) mean squared finite differences inside the weight."""
    grey = picture.mean(1, keepdims=True)
    across, down = np.diff(grey, axis=3) ** 2, np.diff(grey, axis=2) ** 2
    total = (across * weight[..., 1:]).sum((1, 2, 3)) + (down * weight[..., 1:, :]).sum((1, 2, 3))
    return total / weight.sum((1, 2, 3))


def score(found: dict[str, float]) -> float:
    """What the best weights have least of: the error, more where detail is missing or made up."""
    return found["painted"] * (1 + 0.4 * abs(1 - found["detail_painted_much"]))


def strip(net: PainterNetwork, given: Sequence[Batch], path: Path) -> None:
    """Write rows of own, warped, painted, true windows of some of the pairs."""
    every = max(1, sum(len(b.own) for b in given) // _STRIP)
    rows, count = [], 0
    for batch in given:
        result = _painted(net, batch)
        for i in range(len(result)):
            if count % every == 0:
                shown = [p[i] for p in (batch.own, batch.warped, result, batch.true)]
                rows.append(np.concatenate(shown, 2))
            count += 1
    picture = np.moveaxis(np.concatenate(rows, 1), 0, -1)
    picture = np.clip(picture * 255 + 0.5, 0, 255).astype(np.uint8)
    large = cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(path), cv2.cvtColor(large, cv2.COLOR_RGB2BGR))
