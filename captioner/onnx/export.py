"""Write a checkpoint's model as ONNX graphs, which refer to the weights inside the checkpoint."""

import json
import logging
import math
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from captioner.data.vocabulary import END, PADDING, START, UNKNOWN
from captioner.decoding.runtime import Floats
from captioner.errors import CaptionerError
from captioner.files import atomic_write, best_of_run
from captioner.model import checkpoint as checkpoints
from captioner.model.contents import preprocessing
from captioner.onnx.graph_files import FORMAT_VERSION, checksum, description_file, graph_file
from captioner.onnx.modules import CHECKED, TRACED, Graph, graphs_of
from captioner.onnx.weights import WeightsOf
from captioner.version import __version__

OPSET = 18
_TOLERANCE = 1e-3  # between torch and ONNX Runtime; rounding makes up a hundredth of that


def export(checkpoint: Path, folder: Path, pictures: Sequence[Floats] = ()) -> list[Path]:
    """Write the graphs of a checkpoint and their description into a folder, and check them.

    They refer to the checkpoint's tensors by their offsets in its file, which is copied into the
    folder unless it is there: ONNX Runtime reads weights only in or below a graph's own folder.
    pictures: the pixels (3, S, S) of real ones to check with, beside random ones. Returns the files
    written. Raises CaptionerError for a model that cannot be exported, a graph that computes
    something else than torch, and a folder that cannot be written.
    """
    file = best_of_run(checkpoint) if checkpoint.is_dir() else checkpoint
    loaded = checkpoints.load(file)
    own = _place(file, folder)
    weights = WeightsOf(own, checkpoints.named_tensors(loaded.model))
    written, about = [], {}
    others = [graphs_of(loaded.model, sizes) for sizes in CHECKED]
    for graph, *examples in zip(graphs_of(loaded.model, TRACED), *others, strict=True):
        target = graph_file(own, graph.name)
        content = weights.refer(_trace(graph, loaded.model.config.encoder), graph)
        _write(target, content)
        about[graph.name] = _describe(graph, target)
        written.append(target)
        inputs = [example.inputs for example in examples]
        if graph.name == "encoder" and pictures:
            inputs.append({"pixels": torch.from_numpy(np.stack(pictures))})
        _check(graph, target, inputs)
    text = json.dumps(_description(loaded, own, about), ensure_ascii=False, indent=1) + "\n"
    _write(description_file(own), text.encode())
    return [*written, description_file(own)]


def _write(file: Path, content: bytes) -> None:
    atomic_write(file, lambda partial: partial.write_bytes(content))


def _place(checkpoint: Path, folder: Path) -> Path:
    """The checkpoint in the folder, which is made if need be: itself or a copy."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CaptionerError(
            f"{folder}: cannot be made ({error.strerror}); choose another folder"
        ) from error
    own = folder / checkpoint.name
    if not (own.exists() and own.samefile(checkpoint)):
        atomic_write(own, lambda partial: shutil.copyfile(checkpoint, partial))
    return own


def _trace(graph: Graph, encoder: str) -> "torch.onnx.ONNXProgram":
    """Let torch write the graph; its weights are still inside."""
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                graph.module.eval(),
                tuple(graph.inputs.values()),
                dynamo=True,
                dynamic_shapes=graph.free,
                input_names=list(graph.inputs),
                output_names=graph.outputs,
                opset_version=OPSET,
                optimize=False,  # it would fold the weights into new ones, see WeightsOf
                verbose=False,
            )
    except ImportError as error:
        raise CaptionerError(
            f"writing graphs needs more packages ({error.name} is missing): "
            "pip install 'captioner[onnx-export]', or '.[onnx-export]' in a clone"
        ) from error
    except Exception as error:
        raise CaptionerError(
            f"the {graph.name} of this model (encoder {encoder}) cannot be written as a graph: "
            f"torch cannot export it ({str(error).splitlines()[0][:200]}); use it with torch"
        ) from error
    assert program is not None
    return program


def _check(graph: Graph, file: Path, examples: Sequence[dict[str, Tensor]]) -> None:
    """Raise CaptionerError where ONNX Runtime computes something else than torch."""
    from captioner.onnx.runtime import open_session

    session = open_session(file)
    for inputs in examples:
        with torch.no_grad():
            expected = graph.module(*inputs.values())
        expected = (expected,) if isinstance(expected, Tensor) else expected
        cause = None
        try:
            found = session.run(None, {name: value.numpy() for name, value in inputs.items()})
            difference = max(
                float(np.abs(ours - torchs.numpy()).max(initial=0))
                for ours, torchs in zip(found, expected, strict=True)
            )
        except Exception as error:  # arrays of other sizes, or any of ONNX Runtime's own errors
            difference, cause = math.inf, error
        if not difference <= _TOLERANCE:
            file.unlink()
            raise CaptionerError(
                f"{file}: ONNX Runtime computes something else than torch (up to {difference:.2g} "
                f"apart); the {graph.name} of this model cannot be a graph, use it with torch"
            ) from cause


def _describe(graph: Graph, file: Path) -> dict[str, Any]:
    """A graph's file, inputs and outputs for the description."""
    from captioner.onnx.runtime import open_session

    session = open_session(file)
    return {
        "file": file.name,
        "crc32": checksum(file),
        "inputs": {one.name: [one.type, one.shape] for one in session.get_inputs()},
        "outputs": {one.name: [one.type, one.shape] for one in session.get_outputs()},
    }


def _description(
    loaded: checkpoints.Checkpoint, checkpoint: Path, graphs: dict[str, Any]
) -> dict[str, Any]:
    model = loaded.model
    return {
        "format_version": FORMAT_VERSION,
        "captioner": __version__,
        "opset": OPSET,
        "checkpoint": {"file": checkpoint.name, "crc32": checksum(checkpoint)},
        "graphs": graphs,
        "preprocessing": preprocessing(model.config),
        "grid": list(model.encoder.grid),
        "tokens": {"padding": PADDING, "start": START, "end": END, "unknown": UNKNOWN},
        "written_as": model.config.tokens,
        "vocabulary": None if model.vocabulary is None else list(model.vocabulary.words),
        "question_vocabulary": (
            None if model.question_vocabulary is None else list(model.question_vocabulary.words)
        ),
        "answers": list(model.answer_texts),
        "decoding": asdict(loaded.decoding),
    }
