"""Makes a student from a network of the teacher: narrower, on the lean front end, and nearly the same function.

Layer by layer, the student's weights are those that bring its own inputs nearest to the teacher's outputs (least
squares over rendered clips), so that each layer makes up for what the ones before lost. Of each block's inner channels
those are kept that carry most. ``teach`` then fits the whole.
"""

from __future__ import annotations

import sys

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from training import features as full
from training.clips import make_clip, targets
from training.front_end import MEL_CHANNELS
from training.lessons import TEACHER, features
from training.network import Network
from training.places import ARTIFACTS, WORK
from training.sources import pool_of
from training.student import INNER, NARROW, Student
from training.teach import unpacked

MEMBER = 1  # of the teacher's networks
NUM_CLIPS, SEED = 160, 8
SAMPLES = 60_000  # frames of a layer's fit
FAULT_WEIGHT = 4.0  # of a frame in a fault
RIDGE = 1e-4  # of the mean square of the inputs


def teacher_network(member: int = MEMBER) -> Network:
    """Return a network of the teacher with the weights of its graph, whose norms are in the convolutions."""
    graph = onnx.load(ARTIFACTS / TEACHER / "model.onnx").graph
    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    casts = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Cast"}
    convolutions = {node.name: node for node in graph.node if node.op_type == "Conv"}
    network = Network()
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d):
            node = convolutions[_node_name(member, name)]
            weight, bias = (
                torch.from_numpy(tensors[casts.get(part, part)].astype(np.float32)) for part in node.input[1:]
            )
            module.weight.data = weight
            if module.bias is not None:
                module.bias.data = bias
            else:
                norm = _norm_of(network, name)
                norm.weight.data.fill_(1)
                norm.bias.data = bias
                norm.running_mean.zero_()
                norm.running_var.fill_(1 - norm.eps)
    return network.eval()


def _node_name(member: int, name: str) -> str:
    """Return the name of a module's node in the graph. In a Sequential each part of the path holds the one before."""
    parts, path, held = name.split("."), [], ""
    for part in parts:
        held = f"{held}.{part}" if part.isdigit() else part
        path.append(held)
    return f"/network/members.{member}/" + "/".join(path) + "/Conv"


def _norm_of(network: nn.Module, name: str) -> nn.Module:
    path, last = name.rsplit(".", 1)
    return network.get_submodule(f"{path}.norm" if last == "wide" else f"{path}.1")


def clips() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return of NUM_CLIPS clips the full features and low bins, the lean ones, and each frame's weight."""
    rows, lean, weights = [], [], []
    for index in range(NUM_CLIPS):
        clip = make_clip(np.random.default_rng((SEED, index)), pool_of("fit"))
        audio = clip.audio.astype(np.float32)
        parts = full.front_end_session().run(None, {"waveform": audio[None]})
        rows.append(np.concatenate([part.ravel() for part in parts]).astype(np.float16))
        lean.append(features(audio))
        weights.append(1 + (FAULT_WEIGHT - 1) * targets(clip).any(1))
    return (
        *full.unpack(torch.from_numpy(np.stack(rows))),
        *unpacked(np.stack(lean)),
        torch.from_numpy(np.stack(weights)).float(),
    )


def fitted(inputs: Tensor, wanted: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weight (outputs, inputs) and the bias (outputs,) that bring ``inputs`` (samples, inputs) nearest."""
    x = torch.cat([inputs, torch.ones(len(inputs), 1)], 1).double()
    left = x.T * weights.double()
    gram = left @ x
    gram.diagonal()[:-1] += RIDGE * gram.diagonal()[:-1].mean()
    solution = torch.linalg.solve(gram, left @ wanted.double()).float()
    return solution[:-1].T, solution[-1]


class Surgeon:
    """Fits layers on the frames of some clips. weights : (clips, T) of each frame."""

    def __init__(self, weights: Tensor) -> None:
        self.weights = weights.flatten()
        self.chosen = torch.from_numpy(np.random.default_rng(0).permutation(len(self.weights))[:SAMPLES].copy())

    def sampled(self, x: Tensor) -> Tensor:
        """(clips, channels, T) to the chosen frames (SAMPLES, channels)."""
        return x.transpose(1, 2).flatten(0, 1)[self.chosen]

    def taps(self, x: Tensor, module: nn.Conv1d) -> Tensor:
        """Return what a convolution over x (clips, channels, T) sees of the chosen frames, as its weights lie."""
        reach, size = module.dilation[0], module.kernel_size[0]
        padded = F.pad(x, (module.padding[0],) * 2)
        moved = [padded[:, :, k * reach : k * reach + x.shape[2]] for k in range(size)]
        return torch.stack([self.sampled(part) for part in moved], 2).flatten(1)

    def refit(self, module: nn.Conv1d, x: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """Give a convolution new weights for x -> wanted, both (clips, channels, T). Returns weight and bias."""
        weight, bias = fitted(self.taps(x, module), self.sampled(wanted), self.weights[self.chosen])
        weight = weight.reshape(module.weight.shape)
        left = wanted - F.conv1d(x, weight, bias, padding=module.padding, dilation=module.dilation)
        print(f"{tuple(weight.shape)}: {float(left.var() / wanted.var()):.3f} of the variance is left", flush=True)
        return weight, bias


def set_layer(layer: nn.Sequential, weight: Tensor, bias: Tensor) -> None:
    """Set a convolution with a norm to weight and bias."""
    layer[0].weight.data = weight.clone()
    set_norm(layer[1], bias)


def set_norm(norm: nn.Module, bias: Tensor) -> None:
    norm.weight.data = torch.ones_like(bias)
    norm.bias.data = bias.clone()
    norm.running_mean = torch.zeros_like(bias)
    norm.running_var = torch.full_like(bias, 1 - norm.eps)


def copy_layer(layer: nn.Sequential, old: nn.Sequential) -> None:
    set_layer(layer, old[0].weight.data, old[1].bias.data)


@torch.no_grad()
def inherit(name: str) -> None:
    """Write a student's weights to WORK/<name>.pt."""
    torch.set_num_threads(1)
    old, new = teacher_network(), Student().eval()
    rows, low, lean, lean_low, weights = clips()
    surgeon = Surgeon(weights)
    for part in (*zip(new.low, old.low, strict=True), (new.spectral[0], old.spectral[0])):
        copy_layer(*part)
    set_layer(new.out, old.out[0].weight.data, old.out[1].bias.data)
    new.heads.load_state_dict(old.heads.state_dict())

    before = old.spectral[0](old.image(rows))
    image = new.spectral[0](new.image(lean))
    wanted = old.spectral[1](before)
    kept = _loudest(wanted, old.spectral[2][0].weight, NARROW)
    set_layer(new.spectral[1], old.spectral[1][0].weight.data[kept], old.spectral[1][1].bias.data[kept])
    image = new.spectral[1](image)
    set_layer(new.spectral[2], *_refit_image(old.spectral[2], wanted, image, weights))
    spectral = old.spectral_out(old.spectral[2](wanted).permute(0, 1, 3, 2).flatten(1, 2))
    mine = new.spectral[2](image).permute(0, 1, 3, 2).flatten(1, 2)
    raw = old.spectral_out[0](old.spectral[2](wanted).permute(0, 1, 3, 2).flatten(1, 2))
    del before, wanted, image
    set_layer(new.spectral_out, *surgeon.refit(new.spectral_out[0], mine, raw + old.spectral_out[1].bias[:, None]))
    mine = new.spectral_out(mine)

    fine, lean_fine = rows[:, MEL_CHANNELS:], lean[:, MEL_CHANNELS:]
    for layer, old_layer in zip(new.fine, old.fine, strict=True):
        set_layer(layer, *surgeon.refit(layer[0], lean_fine, old_layer[0](fine) + old_layer[1].bias[:, None]))
        fine, lean_fine = old_layer(fine), layer(lean_fine)

    bass, my_bass = old.bass(low, rows.shape[2]), new.bass(lean_low, rows.shape[2])
    x, joined = torch.cat([spectral, fine, bass], 1), torch.cat([mine, lean_fine, my_bass], 1)
    set_layer(new.join, *surgeon.refit(new.join[0], joined, old.join[0](x) + old.join[1].bias[:, None]))
    x, y = old.join(x), new.join(joined)
    for block, old_block in zip(new.trunk, old.trunk, strict=False):
        inside = F.relu(old_block.norm(old_block.wide(x)))
        kept = _carriers(surgeon.sampled(inside), old_block.mix.weight[:, :, 0], surgeon.weights[surgeon.chosen])
        x = old_block(x)
        block.wide.weight.data = old_block.wide.weight.data[kept].clone()
        set_norm(block.norm, old_block.norm.bias.data[kept])
        inside = F.relu(block.norm(block.wide(y)))
        block.mix.weight.data, block.mix.bias.data = surgeon.refit(block.mix, inside, x - y)
        y = block(y)
        print(f"block: {float((x - y).var() / x.var()):.3f} of the variance is left", flush=True)
    measured_norms(new, lean, lean_low)
    torch.save(new.state_dict(), WORK / f"{name}.pt")


def _loudest(x: Tensor, weight: Tensor, num: int) -> Tensor:
    """Return the ``num`` channels of x (clips, channels, T, bands) that a convolution with ``weight`` hears most."""
    return (x.var((0, 2, 3)) * weight.square().sum((0, 2, 3))).topk(num).indices.sort().values


def _carriers(inside: Tensor, mix: Tensor, weights: Tensor) -> Tensor:
    """Return the INNER channels of inside (samples, channels) from which what ``mix`` makes of all is best made.

    They are chosen one after the other, each for what the ones before leave.
    """
    x = inside - (inside * weights[:, None]).sum(0) / weights.sum()
    covariance = ((x.T * weights) @ x / weights.sum()).double()
    wanted = covariance @ mix.T.double()  # of each channel with each output
    kept: list[int] = []
    for _ in range(INNER):
        gain = wanted.square().sum(1) / covariance.diagonal().clamp(min=1e-9)
        gain[covariance.diagonal() < 1e-7] = 0
        gain[kept] = -1
        best = int(gain.argmax())
        kept.append(best)
        row, scale = covariance[best].clone(), float(covariance[best, best])
        wanted = wanted - row[:, None] * wanted[best] / scale
        covariance = covariance - row[:, None] * row / scale
    return torch.tensor(sorted(kept))


def _refit_image(old: nn.Sequential, wanted: Tensor, mine: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return weight and bias of the last image layer for the student's input. All (clips, channels, T, bands)."""
    target = old[0](wanted) + old[1].bias[:, None, None]
    rng = np.random.default_rng(1)
    inputs, outputs, share = [], [], []
    for clip in range(len(mine)):
        patches = F.unfold(mine[clip : clip + 1], 3, padding=1, stride=(1, 2))[0].T  # (T * bands, channels * 9)
        some = torch.from_numpy(rng.permutation(len(patches))[: SAMPLES // len(mine)].copy())
        inputs.append(patches[some])
        outputs.append(target[clip].flatten(1).T[some])
        share.append(weights[clip].repeat_interleave(target.shape[3])[some])
    weight, bias = fitted(torch.cat(inputs), torch.cat(outputs), torch.cat(share))
    return weight.reshape(weight.shape[0], -1, 3, 3), bias


def measured_norms(network: nn.Module, lean: Tensor, low: Tensor) -> None:
    """Give every norm the mean and variance of its inputs, and leave its function as it is, for further fitting."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    seen: dict[nn.Module, list[tuple[Tensor, Tensor]]] = {norm: [] for norm in norms}

    def look(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        axes = [axis for axis in range(inputs[0].ndim) if axis != 1]
        seen[norm].append((inputs[0].mean(axes), inputs[0].square().mean(axes)))

    hooks = [norm.register_forward_pre_hook(look) for norm in norms]
    for start in range(0, len(lean), 16):
        network(lean[start : start + 16], low[start : start + 16])
    for hook in hooks:
        hook.remove()
    for norm in norms:
        mean, square = (torch.stack(part).mean(0) for part in zip(*seen[norm], strict=True))
        variance = (square - mean.square()).clamp(min=1e-6)
        norm.running_mean, norm.running_var = mean, variance
        norm.weight.data = torch.sqrt(variance + norm.eps)
        norm.bias.data = norm.bias.data + mean


if __name__ == "__main__":
    inherit(sys.argv[1])
