"""Multilayer perceptrons of one shape, one per seed, stacked so that one matrix product serves all seeds."""

import io
import math
import pickle
from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from alchemist_exp.core.atomic_io import read_json, write_bytes, write_json
from alchemist_exp.core.errors import StoreError
from alchemist_exp.core.types import FloatArray, read_only
from alchemist_exp.end_model.base import FittedEndModel, TrainingCurve
from alchemist_exp.end_model.mlp import Device

_VERSION = 1
_CHUNK = 8192
"""Rows predicted at once: bounds memory, whatever the size of a split."""


class StackedMLP(nn.Module):
    """s perceptrons: `sizes` numbers in, through the hidden layers, to classes out."""

    def __init__(self, sizes: Sequence[int], n_seeds: int) -> None:
        super().__init__()
        pairs = list(pairwise(sizes))
        self.weights = nn.ParameterList([torch.zeros(n_seeds, fan_in, out) for fan_in, out in pairs])
        self.biases = nn.ParameterList([torch.zeros(n_seeds, 1, out) for _, out in pairs])

    @torch.no_grad()
    def draw(self, generators: Sequence[torch.Generator]) -> None:
        """Initial weights, each seed's from its own generator: uniform, scaled for ReLU (He et al. 2015)."""
        for seed, generator in enumerate(generators):
            for weight in self.weights:
                bound = math.sqrt(6 / weight.shape[1])
                weight[seed].uniform_(-bound, bound, generator=generator)

    def forward(self, rows: Tensor) -> Tensor:
        """Logits (s, b, k) of each seed's own rows (s, b, d)."""
        *inner, last = zip(self.weights, self.biases, strict=True)
        for weight, bias in inner:
            rows = torch.baddbmm(bias, rows, weight).relu_()
        weight, bias = last
        return torch.baddbmm(bias, rows, weight)

    def logits(self, rows: Tensor) -> Tensor:
        """Logits (s, n, k) of rows (n, d) that every seed sees, chunk by chunk."""
        seeds = self.weights[0].shape[0]
        chunks = [self(chunk.expand(seeds, -1, -1)) for chunk in torch.split(rows, _CHUNK)]
        return torch.cat(chunks, dim=1)


class FittedStackedMLP(FittedEndModel):
    """A trained `Stack`, for features as they came to `fit`."""

    def __init__(self, stack: StackedMLP, curves: Sequence[TrainingCurve], device: torch.device) -> None:
        self.curves = tuple(curves)
        self._stack = stack.to(device).requires_grad_(False)
        self._device = device
        self.device = str(device)

    def predict_proba(self, features: FloatArray) -> FloatArray:
        """float32 (seeds, n, k), read-only. ValueError when the width is not the one it was trained on."""
        sizes = self._sizes()
        if features.ndim != 2 or features.shape[1] != sizes[0]:
            raise ValueError(f"features have shape {features.shape}; (n, {sizes[0]}) is needed")
        probs = np.empty((len(self.curves), len(features), sizes[-1]), dtype=np.float32)
        for start in range(0, len(features), _CHUNK):
            rows = tensor_of(features[start : start + _CHUNK], self._device)
            probs[:, start : start + _CHUNK] = self._stack.logits(rows).softmax(dim=-1).cpu().numpy()
        return read_only(probs, np.float32)

    def save(self, folder: Path) -> None:
        """Writes end_model.pt, plain tensors that load with `weights_only`, and end_model.json, sizes and curves."""
        raw = io.BytesIO()
        torch.save({name: tensor.cpu() for name, tensor in self._stack.state_dict().items()}, raw)
        write_bytes(folder / "end_model.pt", raw.getvalue())
        curves = [asdict(curve) for curve in self.curves]
        write_json(folder / "end_model.json", {"version": _VERSION, "sizes": self._sizes(), "curves": curves})

    def _sizes(self) -> list[int]:
        first = self._stack.weights[0].shape[1]
        return [first, *(weight.shape[2] for weight in self._stack.weights)]


def load_stacked_mlp(folder: Path, device: Device) -> FittedStackedMLP:
    """What `FittedStackedMLP.save` wrote. StoreError when it is absent, broken or of another version."""
    try:
        stored = read_json(folder / "end_model.json", what="the end model")
        if stored["version"] != _VERSION:
            raise ValueError(f"its version is {stored['version']}, {_VERSION} is known")
        curves = [_curve(fields) for fields in stored["curves"]]
        stack = StackedMLP(stored["sizes"], len(curves))
        stack.load_state_dict(torch.load(folder / "end_model.pt", map_location="cpu", weights_only=True))
    except StoreError:
        raise
    except (OSError, EOFError, LookupError, TypeError, ValueError, RuntimeError, pickle.UnpicklingError) as error:
        raise StoreError(f"the end model in {folder} cannot be read: {error}; fit it again.") from error
    return FittedStackedMLP(stack, curves, torch_device(device))


def _curve(fields: dict[str, Any]) -> TrainingCurve:
    return TrainingCurve(
        seed=fields["seed"],
        train_loss=tuple(fields["train_loss"]),
        valid_score=tuple(fields["valid_score"]),
        best_epoch=fields["best_epoch"],
    )


def torch_device(device: Device) -> torch.device:
    """The device meant; the first GPU that is visible."""
    wants_cuda = device is Device.cuda or (device is Device.auto and torch.cuda.is_available())
    return torch.device("cuda", 0) if wants_cuda else torch.device("cpu")


def tensor_of(array: np.ndarray[Any, Any], device: torch.device) -> Tensor:
    """A copy on `device`: arrays arrive read-only, often as memory maps, which torch cannot share without a warning."""
    return torch.tensor(np.asarray(array), device=device)
