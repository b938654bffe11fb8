"""Weights that a graph has inside, replaced by references to the tensors of a checkpoint's file."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from captioner.onnx.modules import Graph

if TYPE_CHECKING:
    import onnx_ir
    import torch

_TYPES = {"F16": "FLOAT16", "BF16": "BFLOAT16", "F32": "FLOAT"}
_MOST_FOLDED = 4096  # bytes of a constant that may be computed while a graph is written


class WeightsOf:
    """The tensors of a checkpoint by their offsets in its file."""

    def __init__(self, checkpoint: Path, tensors: dict[str, Tensor]) -> None:
        with checkpoint.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            header: dict[str, Any] = json.loads(opened.read(length))
        self.file = checkpoint
        self.start = 8 + length
        self.header = header
        # A layer that two parts of the model share has several names, the checkpoint knows one.
        self.names = {id(tensor): name for name, tensor in tensors.items()}

    def refer(self, program: "torch.onnx.ONNXProgram", graph: Graph) -> bytes:
        """The graph without weights, as the content of its file.

        Half precision is cast to single where the graph begins, which a runtime does once.
        """
        import onnx_ir
        from onnxscript import optimizer

        model, body = program.model, program.model.graph
        own = {
            name: self.names[id(tensor)]
            for tensors in (
                graph.module.named_parameters(remove_duplicate=False),
                graph.module.named_buffers(remove_duplicate=False),
            )
            for name, tensor in tensors
            if tensor.is_floating_point()  # indices, of a few encoders, stay inside
        }
        weights = [body.initializers.pop(name) for name in list(body.initializers) if name in own]
        # As inputs of no known value they stay whole when the rest is simplified.
        for weight in weights:
            weight.const_value = None
        body.inputs.extend(weights)
        optimizer.optimize(model, input_size_limit=_MOST_FOLDED, output_size_limit=_MOST_FOLDED)
        del body.inputs[len(body.inputs) - len(weights) :]
        casts = []
        for weight in weights:
            assert weight.name is not None
            stored, cast = self._cast(own[weight.name])
            weight.replace_all_uses_with(cast.outputs[0])
            body.initializers[own[weight.name]] = stored
            casts.append(cast)
        body.insert_before(body[0], casts)
        _strip(model)
        return onnx_ir.to_proto(model).SerializeToString()

    def _cast(self, name: str) -> "tuple[onnx_ir.Value, onnx_ir.Node]":
        """A tensor of the checkpoint, of whatever type, and a node that makes it float32."""
        import onnx_ir

        about = self.header[name]
        start, end = about["data_offsets"]
        stored, shape = onnx_ir.DataType[_TYPES[about["dtype"]]], onnx_ir.Shape(about["shape"])
        tensor = onnx_ir.ExternalTensor(
            self.file.name,
            self.start + start,
            end - start,
            stored,
            shape=shape,
            name=name,
            base_dir=str(self.file.parent),
        )
        value = onnx_ir.Value(
            name=name, shape=shape, type=onnx_ir.TensorType(stored), const_value=tensor
        )
        single = onnx_ir.DataType.FLOAT
        node = onnx_ir.node("Cast", [value], attributes={"to": single.value})
        [output] = node.outputs
        output.name, output.shape = f"{name}.float", shape
        output.type = onnx_ir.TensorType(single)
        return value, node


def _strip(model: "onnx_ir.Model") -> None:
    """Drop what torch notes of where each node came from: ten times as much as the graph."""
    model.metadata_props.clear()
    for graph in model.graphs():
        graph.metadata_props.clear()
        graph.doc_string = None
        for node in graph:
            node.metadata_props.clear()
            node.doc_string = None
            for value in node.outputs:
                value.metadata_props.clear()
        for value in (*graph.inputs, *graph.initializers.values()):
            value.metadata_props.clear()
