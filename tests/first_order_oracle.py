"""The first-order model, written from the paper for the tests: functions over a state dictionary.

Siarohin et al., NeurIPS 2019: equations 3 to 10 and the supplement's architecture. Independent of
``hybridanim.networks``: it keeps a trace of every layer, and makes checkpoints in the published
files' form with random weights. Batch of one; the model's own coordinates throughout.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

State = dict[str, Tensor]


class Oracle:
    """Runs a state dictionary; ``trace``: name of each layer -> its output."""

    def __init__(self, state: State, align_corners: bool = True) -> None:
        self.state, self.align, self.trace = state, align_corners, {}

    def kept(self, name: str, value: Tensor) -> Tensor:
        self.trace[name] = value
        return value

    def conv(self, x: Tensor, name: str, pad: int) -> Tensor:
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        return self.kept(name, F.conv2d(x, weight, bias, padding=pad))

    def norm(self, x: Tensor, name: str) -> Tensor:
        mean, var = self.state[f"{name}.running_mean"], self.state[f"{name}.running_var"]
        gain, shift = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        centred = (x - mean[:, None, None]) / torch.sqrt(var + 1e-5)[:, None, None]
        return self.kept(name, centred * gain[:, None, None] + shift[:, None, None])

    def block(self, x: Tensor, name: str, pad: int = 1) -> Tensor:
        return torch.relu(self.norm(self.conv(x, f"{name}.conv", pad), f"{name}.norm"))

    def down(self, x: Tensor, name: str) -> Tensor:
        x = self.block(x, name)
        return x.unfold(2, 2, 2).unfold(3, 2, 2).mean((-2, -1))

    def up(self, x: Tensor, name: str) -> Tensor:
        return self.block(x.repeat_interleave(2, 2).repeat_interleave(2, 3), name)

    def u_net(self, x: Tensor, name: str) -> Tensor:
        stack, i = [x], 0
        while f"{name}.encoder.down_blocks.{i}.conv.weight" in self.state:
            stack.append(self.down(stack[-1], f"{name}.encoder.down_blocks.{i}"))
            i += 1
        x = stack.pop()
        for j in range(i):
            x = torch.cat((self.up(x, f"{name}.decoder.up_blocks.{j}"), stack.pop()), 1)
        return x

    def smaller(self, picture: Tensor, name: str) -> Tensor:
        """A quarter of the size: blurred with the stored kernel, every fourth pixel."""
        kernel = self.state[f"{name}.weight"]
        half = kernel.shape[-1] // 2
        padded = F.pad(picture, (half,) * 4)
        rows = [F.conv2d(padded[:, c : c + 1], kernel[c : c + 1]) for c in range(3)]
        return torch.cat(rows, 1)[:, :, ::4, ::4]

    def detect(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Keypoints (K, 2) and Jacobians (K, 2, 2) of (1, 3, S, S)."""
        x = self.u_net(self.smaller(picture, "kp_detector.down"), "kp_detector.predictor")
        logits = self.conv(x, "kp_detector.kp", 0)[0]
        count, side, _ = logits.shape
        heat = torch.softmax(logits.reshape(count, -1) / 0.1, 1).reshape(count, side, side)
        ends = torch.linspace(-1, 1, side)
        xy = torch.stack(((heat.sum(1) * ends).sum(1), (heat.sum(2) * ends).sum(1)), 1)
        maps = self.conv(x, "kp_detector.jacobian", 0)[0].reshape(-1, 4, side, side)
        rows = [(heat[k] * maps[k if len(maps) > 1 else 0]).sum((1, 2)) for k in range(count)]
        return self.kept("xy", xy), self.kept("jacobian", torch.stack(rows).reshape(-1, 2, 2))

    def look(self, picture: Tensor, places: Tensor) -> Tensor:
        """Sample (1, C, h, w) at (H, W, 2); zeros outside."""
        _, _, height, width = picture.shape
        size = torch.tensor([width, height], dtype=torch.float32)
        px = (places + 1) / 2 * (size - 1) if self.align else ((places + 1) * size - 1) / 2
        low = px.floor()
        total = torch.zeros(1, picture.shape[1], *places.shape[:2])
        for dx in (0, 1):
            for dy in (0, 1):
                x, y = low[..., 0] + dx, low[..., 1] + dy
                share = (1 - (px[..., 0] - x).abs()) * (1 - (px[..., 1] - y).abs())
                inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
                at = (y.clamp(0, height - 1).long(), x.clamp(0, width - 1).long())
                total += picture[:, :, at[0], at[1]] * (share * inside)
        return total

    def move(self, picture: Tensor, source: Any, driving: Any) -> tuple[Tensor, Tensor]:
        """Flow (h, w, 2) and occlusion (1, 1, h, w); source, driving: of ``detect``."""
        name = "generator.dense_motion_network"
        small = self.smaller(picture, f"{name}.down")
        side = small.shape[-1]
        ends = torch.linspace(-1, 1, side)
        z = torch.stack(torch.meshgrid(ends, ends, indexing="xy"), -1)
        candidates, inputs = [z], [torch.zeros(1, 1, side, side), self.look(small, z)]
        for k in range(len(source[0])):
            linear = source[1][k] @ torch.linalg.inv(driving[1][k])
            candidates.append(source[0][k] + (z - driving[0][k]) @ linear.T)  # equation 4
            near, before = (
                torch.exp(-((z - p[0][k]) ** 2).sum(-1) / 0.02) for p in (driving, source)
            )  # equation 6
            inputs += [(near - before)[None, None], self.look(small, candidates[-1])]
        x = self.u_net(torch.cat(inputs, 1), f"{name}.hourglass")
        masks = torch.softmax(self.conv(x, f"{name}.mask", 3), 1)[0]
        flow = (masks[..., None] * torch.stack(candidates)).sum(0)  # equations 7 and 8
        shown = torch.sigmoid(self.conv(x, f"{name}.occlusion", 3))
        self.kept("masks", masks)
        return self.kept("flow", flow), self.kept("shown", shown)

    def generate(self, picture: Tensor, source: Any, driving: Any) -> Tensor:
        """The picture (1, 3, S, S) in [0, 1]."""
        flow, shown = self.move(picture, source, driving)
        x = self.block(picture, "generator.first", 3)
        for i in range(2):
            x = self.down(x, f"generator.down_blocks.{i}")
        x = self.look(x, flow) * shown  # equation 9
        i = 0
        while f"generator.bottleneck.r{i}.conv1.weight" in self.state:
            name = f"generator.bottleneck.r{i}"
            inner = self.conv(torch.relu(self.norm(x, f"{name}.norm1")), f"{name}.conv1", 1)
            x = x + self.conv(torch.relu(self.norm(inner, f"{name}.norm2")), f"{name}.conv2", 1)
            i += 1
        for i in range(2):
            x = self.up(x, f"generator.up_blocks.{i}")
        return torch.sigmoid(self.conv(x, "generator.final", 3))


def state(shapes: dict[str, tuple[int, ...]], seed: int, *, counters: bool = True) -> State:
    """Random weights of these shapes, of a size that keeps activations in range."""
    rng = torch.Generator().manual_seed(seed)
    out = {}
    for name, shape in shapes.items():
        value = torch.randn(shape, generator=rng)
        if name.endswith("down.weight"):
            value = _bell(shape)
        elif name.endswith("running_var"):
            value = 0.5 + torch.rand(shape, generator=rng)
        elif ".norm" in name and name.endswith("weight"):
            value = 1 + 0.1 * value
        elif len(shape) == 4:
            value = value / (shape[1] * shape[2] * shape[3]) ** 0.5
        else:
            value = 0.1 * value
        if name == "kp_detector.jacobian.weight":
            value = 0.2 * value
        if name == "kp_detector.jacobian.bias":
            value = torch.eye(2).reshape(4).repeat(shape[0] // 4) + 0.1 * value
        out[name] = value
        if counters and name.endswith("running_var"):
            out[name.replace("running_var", "num_batches_tracked")] = torch.tensor(7)
    return out


def _bell(shape: tuple[int, ...]) -> Tensor:
    at = torch.arange(shape[-1]) - shape[-1] // 2
    line = torch.exp(-(at**2) / (2 * 1.5**2))
    kernel = torch.outer(line, line)
    return (kernel / kernel.sum()).expand(shape).clone()


def checkpoint(weights: State, *, wrapped: bool = False, trained: bool = True) -> dict[str, Any]:
    """In the published files' form; wrapped: as saved from several GPUs.

    trained: with what training needs beside the networks.
    """
    found: dict[str, Any] = {}
    for part in ("generator", "kp_detector"):
        own = {k.removeprefix(f"{part}."): v for k, v in weights.items() if k.startswith(part)}
        found[part] = {("module." if wrapped else "") + k: v for k, v in own.items()}
    if trained:
        found["discriminator"] = {"discs.1.conv.weight_orig": torch.zeros(1, 512, 1, 1)}
        moments = {"step": 3, "exp_avg": torch.zeros(4), "exp_avg_sq": torch.zeros(4)}
        groups = [{"lr": 2e-4, "betas": (0.5, 0.999), "params": [0]}]
        for part in ("generator", "kp_detector", "discriminator"):
            found[f"optimizer_{part}"] = {"state": {0: moments}, "param_groups": groups}
        found["epoch"] = 99
    return found
