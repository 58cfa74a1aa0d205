"""Writes the distilled model as safetensors and as ONNX. Both take features: preprocessing stays in Python."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from alchemist_exp.core.errors import require_packages
from alchemist_exp.end_model.base import Layer

SAFETENSORS, ONNX = "model.safetensors", "model.onnx"

_OPSET: Final = 18
_IR_VERSION: Final = 10
"""Versions of ONNX that runtimes since 2023 read."""


def write_safetensors(path: Path, layers: Sequence[Layer], classes: Sequence[str], seeds: Sequence[int]) -> None:
    """Write the weights of all seeds.

    Args:
        path: The file. Its tensors are `weights.I` of shape (n_seeds, fan_in, fan_out) and `biases.I` of shape
            (n_seeds, 1, fan_out) for the layers I from 0; its metadata has `classes` and `seeds` as JSON.
        layers: The layers.
        classes: The class names.
        seeds: The seeds.

    Raises:
        MissingPackageError: The package safetensors is not installed.

    """
    require_packages(SAFETENSORS, "export", "safetensors")
    from safetensors.numpy import save

    tensors = {f"weights.{i}": layer.weights for i, layer in enumerate(layers)}
    tensors |= {f"biases.{i}": layer.biases for i, layer in enumerate(layers)}
    metadata = {"classes": json.dumps(list(classes)), "seeds": json.dumps(list(seeds))}
    path.write_bytes(save(tensors, metadata=metadata))


def write_onnx(path: Path, layers: Sequence[Layer], classes: Sequence[str]) -> None:
    """Write the networks of all seeds as one graph.

    Args:
        path: The file. Its input `features` is float32 of shape (n_rows, n_features); its output `probabilities` is
            float32 of shape (n_rows, n_classes), the mean over seeds. Its metadata has `classes` as JSON.
        layers: The layers.
        classes: The class names.

    Raises:
        MissingPackageError: The package onnx is not installed.

    """
    require_packages(ONNX, "export", "onnx")
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, stored, value = [], [], "features"
    for i, layer in enumerate(layers):
        stored += [numpy_helper.from_array(layer.weights, f"weights.{i}")]
        stored += [numpy_helper.from_array(layer.biases, f"biases.{i}")]
        nodes += [helper.make_node("MatMul", [value, f"weights.{i}"], [f"product.{i}"])]
        nodes += [helper.make_node("Add", [f"product.{i}", f"biases.{i}"], [f"sum.{i}"])]
        value = f"sum.{i}"
        if i < len(layers) - 1:
            nodes += [helper.make_node("Relu", [value], [f"active.{i}"])]
            value = f"active.{i}"
    stored += [helper.make_tensor("seeds", TensorProto.INT64, [1], [0])]
    nodes += [helper.make_node("Softmax", [value], ["of_seeds"], axis=-1)]
    nodes += [helper.make_node("ReduceMean", ["of_seeds", "seeds"], ["probabilities"], keepdims=0)]
    shapes = {"features": ["n_rows", layers[0].weights.shape[1]], "probabilities": ["n_rows", len(classes)]}
    of_graph = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()}
    graph = helper.make_graph(nodes, "distilled", [of_graph["features"]], [of_graph["probabilities"]], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    helper.set_model_props(model, {"classes": json.dumps(list(classes))})
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
