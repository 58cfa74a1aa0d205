"""Multilayer perceptrons of one shape, one per seed.

Each seed has its own tensors and its own matrix products. One batched product over all seeds (`baddbmm`) is faster, but
rounds a seed's values differently with the number of seeds, and hundreds of steps turn that into another score.
"""

import io
import math
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from alchemist_exp.core.atomic_io import read_json, write_bytes, write_json
from alchemist_exp.core.errors import StoreError
from alchemist_exp.core.terminal import sanitize
from alchemist_exp.core.types import FloatArray, IntArray, read_only
from alchemist_exp.end_model.base import FittedEndModel, Layer, TrainingCurve
from alchemist_exp.end_model.class_offsets import choose_offsets
from alchemist_exp.end_model.settings import Device
from alchemist_exp.end_model.temperature import fit_temperature

_VERSION = 1
"""The version of the files of a saved model."""

_CHUNK = 8192
"""Rows predicted at once, so that memory does not grow with the size of a split."""


class MLP(nn.Module):
    """One perceptron, with ReLU between the layers.

    Args:
        sizes: Number of features, widths of the hidden layers, number of classes.

    Attributes:
        weights: One parameter per layer, of shape (fan_in, fan_out).
        biases: One parameter per layer, of shape (fan_out,), zero at first.

    """

    def __init__(self, sizes: Sequence[int]) -> None:
        """Create all weights as zeros; `initialize` draws them."""
        super().__init__()
        pairs = list(pairwise(sizes))
        self.weights = nn.ParameterList([torch.zeros(fan_in, out) for fan_in, out in pairs])
        self.biases = nn.ParameterList([torch.zeros(out) for _, out in pairs])

    @torch.no_grad()
    def initialize(self, generator: torch.Generator) -> None:
        """Draw the initial weights: uniform, scaled for ReLU (He et al., ICCV 2015).

        Args:
            generator: The source of the weights.

        """
        for weight in self.weights:
            bound = math.sqrt(6 / weight.shape[0])
            weight.uniform_(-bound, bound, generator=generator)

    def forward(self, rows: Tensor) -> Tensor:
        """Return the logits of rows.

        Args:
            rows: float32 tensor of shape (n_rows, n_features).

        Returns:
            float32 tensor of shape (n_rows, n_classes).

        """
        *inner, last = zip(self.weights, self.biases, strict=True)
        for weight, bias in inner:
            # ReLU in place saves a copy of the activations.
            rows = torch.addmm(bias, rows, weight).relu_()
        weight, bias = last
        return torch.addmm(bias, rows, weight)

    def logits(self, rows: Tensor) -> Tensor:
        """Return the logits of any number of rows, computed chunk by chunk; see `forward`."""
        return torch.cat([self(chunk) for chunk in torch.split(rows, _CHUNK)])


class MLPEnsemble(nn.ModuleList):
    """One perceptron of the same shape per seed.

    Args:
        sizes: Number of features, widths of the hidden layers, number of classes.
        n_seeds: How many perceptrons there are.
        multi_label: Whether several classes may hold for a row: probabilities are then sigmoids, else they sum to 1.

    """

    def __init__(self, sizes: Sequence[int], n_seeds: int, *, multi_label: bool = False) -> None:
        """Create one network per seed, with all weights zero."""
        super().__init__(MLP(sizes) for _ in range(n_seeds))
        self.sizes = list(sizes)
        self.multi_label = multi_label

    def __iter__(self) -> Iterator[MLP]:
        """Yield the network of each seed."""
        return cast(Iterator[MLP], super().__iter__())

    def stacked(self) -> dict[str, Tensor]:
        """Return the weights in the form of the file of a saved model.

        Returns:
            `weights.0`, ... of shape (n_seeds, fan_in, fan_out) and `biases.0`, ... of shape (n_seeds, 1, fan_out).

        """
        names = [name for name, _ in self[0].named_parameters()]
        stacks = {name: torch.stack([mlp.get_parameter(name).detach().cpu() for mlp in self]) for name in names}
        return {name: stack.unsqueeze(1) if name.startswith("biases") else stack for name, stack in stacks.items()}

    @torch.no_grad()
    def load_stacked(self, stored: Mapping[str, Tensor]) -> None:
        """Copy the weights of `stacked` into the networks.

        Args:
            stored: What `stacked` returned.

        Raises:
            ValueError: A name or a shape does not fit these networks.

        """
        expected = {name: stack.shape for name, stack in self.stacked().items()}
        if {name: stack.shape for name, stack in stored.items()} != expected:
            raise ValueError("its weights do not have the shapes that its sizes name")
        for seed, mlp in enumerate(self):
            for name, weight in mlp.named_parameters():
                weight.copy_(stored[name][seed].view_as(weight))


class FittedMLPEnsemble(FittedEndModel):
    """A trained `MLPEnsemble` that takes unscaled features.

    Args:
        networks: The networks; they are moved to the device.
        curves: One per seed.
        device: Where to compute.

    """

    def __init__(self, networks: MLPEnsemble, curves: Sequence[TrainingCurve], device: torch.device) -> None:
        """Move the networks to the device and freeze their weights."""
        self.curves = tuple(curves)
        self._networks = networks.to(device).requires_grad_(False)
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
        n_features, *_, n_classes = self._networks.sizes
        if features.ndim != 2 or features.shape[1] != n_features:
            raise ValueError(f"features have shape {features.shape}; expected (n_rows, {n_features})")
        probs = np.empty((len(self.curves), len(features), n_classes), dtype=np.float32)
        for start in range(0, len(features), _CHUNK):
            rows = to_tensor(features[start : start + _CHUNK], self._device)
            for seed, mlp in enumerate(self._networks):
                logits = mlp(rows)
                of_rows = logits.sigmoid() if self._networks.multi_label else logits.softmax(dim=-1)
                probs[seed, start : start + _CHUNK] = of_rows.cpu().numpy()
        return read_only(probs, np.float32)

    def layers(self) -> list[Layer]:
        """Return the layers; see `FittedEndModel.layers`."""
        stacks = {name: stack.numpy() for name, stack in self._networks.stacked().items()}
        n_layers = len(self._networks.sizes) - 1
        return [Layer(weights=stacks[f"weights.{i}"], biases=stacks[f"biases.{i}"]) for i in range(n_layers)]

    @torch.no_grad()
    def calibrate(self, features: FloatArray, gold: IntArray) -> None:
        """Divide the logits by the temperature that fits gold labels best; it becomes part of the last layer.

        Args:
            features: float32 array of shape (n_rows, n_features).
            gold: int64 array of shape (n_rows,).

        """
        rows = to_tensor(features, self._device)
        logits = torch.stack([mlp.logits(rows) for mlp in self._networks]).cpu().numpy()
        self.temperature = fit_temperature(logits, gold)
        for mlp in self._networks:
            for parameter in (mlp.weights[-1], mlp.biases[-1]):
                parameter /= self.temperature

    @torch.no_grad()
    def add_class_offsets(self, features: FloatArray, gold: IntArray) -> None:
        """Add the offsets with the best macro-F1 to each seed's logits; they become part of the last layer.

        Args:
            features: float32 array of shape (n_rows, n_features).
            gold: int64 array of shape (n_rows,).

        """
        rows = to_tensor(features, self._device)
        offsets = [choose_offsets(mlp.logits(rows).cpu().numpy(), gold) for mlp in self._networks]
        self.class_offsets = tuple(tuple(of_seed.tolist()) for of_seed in offsets)
        for mlp, of_seed in zip(self._networks, offsets, strict=True):
            mlp.biases[-1] += torch.tensor(of_seed, dtype=torch.float32, device=self._device)

    def save(self, directory: Path) -> None:
        """Write end_model.pt, tensors that `torch.load(weights_only=True)` reads, and end_model.json, sizes and curves.

        Args:
            directory: An existing directory.

        Raises:
            StoreError: A file cannot be written.

        """
        raw = io.BytesIO()
        torch.save(self._networks.stacked(), raw)
        write_bytes(directory / "end_model.pt", raw.getvalue())
        curves = [asdict(curve) for curve in self.curves]
        stored = {"version": _VERSION, "sizes": self._networks.sizes, "curves": curves}
        write_json(directory / "end_model.json", stored | ({"sets": True} if self._networks.multi_label else {}))


def load_mlp_ensemble(directory: Path, device: Device) -> FittedMLPEnsemble:
    """Read what `FittedMLPEnsemble.save` wrote.

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
        networks = MLPEnsemble(stored["sizes"], len(curves), multi_label=stored.get("sets") is True)
        networks.load_stacked(torch.load(path, map_location="cpu", weights_only=True))
    except StoreError:
        raise
    except pickle.UnpicklingError as error:  # the message of torch is long, and advises to run what is in the file
        raise StoreError(
            f"the end model in {directory} cannot be read: it is not tensors alone; fit it again."
        ) from error
    except (OSError, EOFError, LookupError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise StoreError(
            f"the end model in {directory} cannot be read: {sanitize(str(error))}; fit it again."
        ) from error
    return FittedMLPEnsemble(networks, curves, resolve_device(device))


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
