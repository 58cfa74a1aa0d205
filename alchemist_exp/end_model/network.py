"""Multilayer perceptrons of one shape, one per seed, whose weights are stacked along a first axis of seeds.

A layer of all seeds is one batched matrix product (`baddbmm`). These networks are so small that most of a step is the
fixed time per operation: five seeds at once take about 40% of the time of five in turn (`python -m bench end_model`).
"""

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
from alchemist_exp.core.terminal import sanitize
from alchemist_exp.core.types import FloatArray, IntArray, read_only
from alchemist_exp.end_model.base import FittedEndModel, Layer, TrainingCurve
from alchemist_exp.end_model.settings import Device
from alchemist_exp.end_model.temperature import fit_temperature

_VERSION = 1
"""The version of the files of a saved model."""

_CHUNK = 8192
"""Rows predicted at once, so that memory does not grow with the size of a split."""


class StackedMLP(nn.Module):
    """One perceptron per seed, with ReLU between the layers.

    Args:
        sizes: Number of features, widths of the hidden layers, number of classes.
        n_seeds: How many perceptrons there are.

    Attributes:
        weights: One parameter per layer, of shape (n_seeds, fan_in, fan_out).
        biases: One parameter per layer, of shape (n_seeds, 1, fan_out), zero at first.

    """

    def __init__(self, sizes: Sequence[int], n_seeds: int) -> None:
        super().__init__()
        pairs = list(pairwise(sizes))
        self.weights = nn.ParameterList([torch.zeros(n_seeds, fan_in, out) for fan_in, out in pairs])
        self.biases = nn.ParameterList([torch.zeros(n_seeds, 1, out) for _, out in pairs])

    @torch.no_grad()
    def initialize(self, generators: Sequence[torch.Generator]) -> None:
        """Draw the initial weights: uniform, scaled for ReLU (He et al., ICCV 2015).

        Args:
            generators: One per seed. Since no generator is shared, a seed's weights do not depend on the other seeds.

        """
        for seed, generator in enumerate(generators):
            for weight in self.weights:
                bound = math.sqrt(6 / weight.shape[1])
                weight[seed].uniform_(-bound, bound, generator=generator)

    def forward(self, rows: Tensor) -> Tensor:
        """Return the logits of rows that differ between seeds.

        Args:
            rows: float32 tensor of shape (n_seeds, n_rows, n_features).

        Returns:
            float32 tensor of shape (n_seeds, n_rows, n_classes).

        """
        *inner, last = zip(self.weights, self.biases, strict=True)
        for weight, bias in inner:
            # bias + rows @ weight for all seeds; ReLU in place saves a copy of the activations.
            rows = torch.baddbmm(bias, rows, weight).relu_()
        weight, bias = last
        return torch.baddbmm(bias, rows, weight)

    def logits(self, rows: Tensor) -> Tensor:
        """Return the logits of rows that are the same for every seed, computed chunk by chunk.

        Args:
            rows: float32 tensor of shape (n_rows, n_features).

        Returns:
            float32 tensor of shape (n_seeds, n_rows, n_classes).

        """
        n_seeds = self.weights[0].shape[0]
        # expand makes a view: the rows are not copied for each seed.
        chunks = [self(chunk.expand(n_seeds, -1, -1)) for chunk in torch.split(rows, _CHUNK)]
        return torch.cat(chunks, dim=1)


class FittedStackedMLP(FittedEndModel):
    """A trained `StackedMLP` that takes unscaled features.

    Args:
        network: The networks; they are moved to the device.
        curves: One per seed.
        device: Where to compute.

    """

    def __init__(self, network: StackedMLP, curves: Sequence[TrainingCurve], device: torch.device) -> None:
        self.curves = tuple(curves)
        self._network = network.to(device).requires_grad_(False)
        self._device = device
        self.device = str(device)

    def predict_proba(self, features: FloatArray) -> FloatArray:
        """Return the class probabilities of each seed.

        Args:
            features: float32 array of shape (n_rows, n_features).

        Returns:
            Read-only float32 array of shape (n_seeds, n_rows, n_classes).

        Raises:
            ValueError: The number of features is not the one that the networks were trained on.

        """
        n_features, *_, n_classes = self._sizes()
        if features.ndim != 2 or features.shape[1] != n_features:
            raise ValueError(f"features have shape {features.shape}; expected (n_rows, {n_features})")
        probs = np.empty((len(self.curves), len(features), n_classes), dtype=np.float32)
        for start in range(0, len(features), _CHUNK):
            rows = to_tensor(features[start : start + _CHUNK], self._device)
            probs[:, start : start + _CHUNK] = self._network.logits(rows).softmax(dim=-1).cpu().numpy()
        return read_only(probs, np.float32)

    def layers(self) -> list[Layer]:
        """Return the layers; see `FittedEndModel.layers`."""
        pairs = zip(self._network.weights, self._network.biases, strict=True)
        return [Layer(weights=weight.cpu().numpy(), biases=bias.cpu().numpy()) for weight, bias in pairs]

    def calibrate(self, features: FloatArray, gold: IntArray) -> None:
        """Divide the logits by the temperature that fits gold labels best; it becomes part of the last layer.

        Args:
            features: float32 array of shape (n_rows, n_features).
            gold: int64 array of shape (n_rows,).

        """
        logits = self._network.logits(to_tensor(features, self._device)).cpu().numpy()
        self.temperature = fit_temperature(logits, gold)
        for parameters in (self._network.weights, self._network.biases):
            parameters[-1] /= self.temperature

    def save(self, directory: Path) -> None:
        """Write end_model.pt, tensors that `torch.load(weights_only=True)` reads, and end_model.json, sizes and curves.

        Args:
            directory: An existing directory.

        Raises:
            StoreError: A file cannot be written.

        """
        raw = io.BytesIO()
        torch.save({name: tensor.cpu() for name, tensor in self._network.state_dict().items()}, raw)
        write_bytes(directory / "end_model.pt", raw.getvalue())
        curves = [asdict(curve) for curve in self.curves]
        write_json(directory / "end_model.json", {"version": _VERSION, "sizes": self._sizes(), "curves": curves})

    def _sizes(self) -> list[int]:
        n_features = self._network.weights[0].shape[1]
        return [n_features, *(weight.shape[2] for weight in self._network.weights)]


def load_stacked_mlp(directory: Path, device: Device) -> FittedStackedMLP:
    """Read what `FittedStackedMLP.save` wrote.

    Args:
        directory: The directory that was passed to `save`.
        device: Where to compute.

    Returns:
        The trained networks.

    Raises:
        StoreError: A file is missing, broken or of another version. Nothing in a broken file is executed.

    """
    try:
        stored = read_json(directory / "end_model.json", what="the end model")
        if stored["version"] != _VERSION:
            raise ValueError(f"its version is {stored['version']}; expected {_VERSION}")
        curves = [
            TrainingCurve(
                seed=curve["seed"],
                train_loss=tuple(curve["train_loss"]),
                valid_score=tuple(curve["valid_score"]),
                best_epoch=curve["best_epoch"],
            )
            for curve in stored["curves"]
        ]
        path = directory / "end_model.pt"
        _check_sizes(stored["sizes"], len(curves), path.stat().st_size)
        network = StackedMLP(stored["sizes"], len(curves))
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except StoreError:
        raise
    except pickle.UnpicklingError as error:  # the message of torch is long, and advises to run what is in the file
        raise StoreError(
            f"the end model in {directory} cannot be read: it is not tensors alone; fit it again."
        ) from error
    except (OSError, EOFError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise StoreError(
            f"the end model in {directory} cannot be read: {sanitize(str(error))}; fit it again."
        ) from error
    return FittedStackedMLP(network, curves, resolve_device(device))


def _check_sizes(sizes: object, n_seeds: int, n_bytes: int) -> None:
    """Raise ValueError if networks of these sizes need more weights than a file has, before memory is allocated."""
    if not isinstance(sizes, list) or len(sizes) < 2 or not all(type(size) is int and size > 0 for size in sizes):
        raise ValueError("its sizes are not whole numbers")
    n_weights = n_seeds * sum((fan_in + 1) * out for fan_in, out in pairwise(sizes))
    if not n_seeds or 4 * n_weights > n_bytes:
        raise ValueError(f"{n_seeds} networks of the sizes {sizes[:10]} have more weights than the file")


def resolve_device(device: Device) -> torch.device:
    """Return the torch device for a configured device.

    Args:
        device: The configured value; `auto` is CUDA where it is available.

    Returns:
        The first visible GPU, or the CPU.

    """
    use_cuda = device is Device.cuda or (device is Device.auto and torch.cuda.is_available())
    return torch.device("cuda", 0) if use_cuda else torch.device("cpu")


def to_tensor(array: np.ndarray[Any, Any], device: torch.device) -> Tensor:
    """Copy an array to a device.

    Args:
        array: Any array. Arrays here are read-only, often memory maps; torch warns when it shares their memory, so
            they are copied on the CPU too.
        device: The device.

    Returns:
        A tensor of the same shape and type.

    """
    return torch.tensor(np.asarray(array), device=device)
