"""What decoding asks of a runtime, computed by ONNX Runtime on a processor, without torch."""

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from captioner.config.settings import DecodingConfig
from captioner.decoding.runtime import Bans, Batch, Candidates, Done, Drawn, Features, Floats, Ints
from captioner.errors import CaptionerWarning, UnusableGraphs
from captioner.model.contents import Contents, damage_reported, read_contents
from captioner.model.description import read_description
from captioner.onnx.graph_files import AGAIN, description_file, graph_file, read_graphs
from captioner.runtime import AT_ONCE, in_pool, may_have_gpu

if TYPE_CHECKING:
    import torch
    from onnxruntime import InferenceSession

LEAST_VERSION = (1, 20)  # the oldest that was tried


class OnnxRuntime:
    """A checkpoint's model as its graphs compute it, as Runtime says.

    Raises UnusableGraphs where ONNX Runtime or usable graphs are missing, and CaptionerError for a
    checkpoint that is absent or describes itself wrongly. Each graph is loaded when it is first
    used, that of the encoder at once, so that trouble shows here.
    """

    device: "torch.device | str" = "cpu"

    def __init__(self, checkpoint: Path) -> None:
        about = read_description(checkpoint).about
        with damage_reported(checkpoint):
            contents = read_contents(about, checkpoint)
        self.grid = _grid(read_graphs(checkpoint), contents, checkpoint)
        self.checkpoint = checkpoint
        self.config = contents.config
        self.decoding = contents.decoding
        self.scores = contents.scores
        self.confidence_curve = contents.confidence_curve
        self.vocabulary = contents.vocabulary
        self.question_vocabulary = contents.question_vocabulary
        self.answer_texts = contents.answer_texts
        self._sessions: dict[str, InferenceSession] = {}
        self._loading = Lock()
        self._session("encoder")

    def encode(self, pixels: Floats) -> Floats:
        """Features (B, N, D) of pixels (B, 3, S, S).

        One picture at a time: the maps of more do not stay in a processor's cache.
        """
        encoder = self._session("encoder")
        return np.concatenate(
            [encoder.run(None, {"pixels": picture[None]})[0] for picture in pixels]
        )

    def start(self, features: Features) -> "OnnxRows":
        """The decoder before the first word of pictures of these features (B, N, D)."""
        return OnnxRows(self._session("start"), self._session("step"), np.asarray(features))

    def answer(
        self, words: Ints, lengths: Ints, pictures: Ints, features: Features
    ) -> tuple[Floats, Floats]:
        """The probability of every answer (R, answers) to R questions, and weights (R, G, N)."""
        inputs = {"words": words, "lengths": lengths, "pictures": pictures, "features": features}
        probs, weights = self._session("answer").run(None, inputs)
        return probs, weights

    def map(self, batches: Iterable[Batch], work: Callable[[Batch], Done]) -> Iterator[Done]:
        """What `work` makes of each batch, in order, of as many at once as there are cores."""
        workers = min(_cores(), AT_ONCE)
        return in_pool(batches, work, workers, lambda: ThreadPoolExecutor(workers))

    def _session(self, name: str) -> "InferenceSession":
        with self._loading:
            if name not in self._sessions:
                self._sessions[name] = open_session(graph_file(self.checkpoint, name))
            return self._sessions[name]


def open_runtime(checkpoint: Path, device: str | None) -> OnnxRuntime | None:
    """The checkpoint's model by ONNX Runtime, where it is installed and there are graphs.

    None where it is not, where there are none, and where the device is or may be another than a
    processor: then torch computes the model. Graphs that cannot be used are left aside with a
    warning.
    """
    on_processor = device == "cpu" or (device is None and not may_have_gpu())
    there = find_spec("onnxruntime") is not None and description_file(checkpoint).is_file()
    if not (on_processor and there):
        return None
    try:
        return OnnxRuntime(checkpoint)
    except UnusableGraphs as error:
        warnings.warn(f"{error}; captioning with torch instead", CaptionerWarning, stacklevel=3)
        return None


def _grid(graphs: dict[str, Any], contents: Contents, checkpoint: Path) -> tuple[int, int]:
    """Rows and columns of the maps; UnusableGraphs where the description lacks what is needed."""
    needed = {"encoder"}
    needed |= {"start", "step"} if contents.vocabulary else set()
    needed |= {"answer"} if contents.question_vocabulary else set()
    try:
        rows, columns = map(int, graphs["grid"])
        cells = graphs["graphs"]["encoder"]["outputs"]["features"][1][1]
        fits = needed <= graphs["graphs"].keys() and cells == rows * columns
    except (KeyError, TypeError, ValueError, IndexError):
        fits = False
    if not fits:
        raise UnusableGraphs(f"{description_file(checkpoint)}: not whole; {AGAIN}")
    return rows, columns


class OnnxRows:
    """Rows of unfinished captions, as ActiveRows says, of pictures of these features (B, N, D)."""

    def __init__(
        self, start: "InferenceSession", step: "InferenceSession", features: Floats
    ) -> None:
        self.step = step
        self.features = features
        self.keys, *state = start.run(None, {"features": features})  # (B, N, A), parts (B, H)
        self.state = [part[:, None] for part in state]  # parts (B, G, H)

    @property
    def pictures(self) -> int:
        """The number of pictures."""
        return len(self.features)

    def best(self, words: Ints, bans: Bans, count: int) -> Candidates:
        """The likeliest next words, `count` or all there are; banned ones have log prob -inf."""
        log_probs, weights = self._step(words, bans)  # (rows, V), (rows, N)
        rows = np.arange(len(words))
        chosen = np.empty((len(words), min(count, log_probs.shape[1])), np.int64)  # (rows, C)
        values = np.empty(chosen.shape, np.float32)
        for rank in range(chosen.shape[1]):  # faster than sorting for the few that are wanted
            chosen[:, rank] = log_probs.argmax(axis=1)
            values[:, rank] = log_probs[rows, chosen[:, rank]]
            log_probs[rows, chosen[:, rank]] = -np.inf
        return Candidates(values, chosen, weights)

    def draw(
        self, words: Ints, bans: Bans, counts: Ints, uniforms: Floats, config: DecodingConfig
    ) -> Drawn:
        """Draw counts (rows,) next words of each row by these uniform numbers."""
        log_probs, weights = self._step(words, bans)  # (rows, V), (rows, N)
        cumulative = _truncate(log_probs, config).cumsum(axis=1, dtype=np.float64)
        cumulative = cumulative.astype(np.float32)  # (rows, V)
        rows = np.arange(len(words)).repeat(counts)  # (draws,)
        wanted = uniforms * cumulative[rows, -1]  # (draws,)
        drawn = [
            np.searchsorted(cumulative[row], value)
            for row, value in zip(rows.tolist(), wanted, strict=True)
        ]
        size = log_probs.shape[1]
        codes, times = np.unique(rows * size + np.array(drawn), return_counts=True)  # (M,)
        rows, drawn_words = codes // size, codes % size
        return Drawn(rows, drawn_words, times, log_probs[rows, drawn_words], weights)

    def select(self, rows: Ints, pictures: list[int]) -> None:
        """Continue with these rows, equally many for each of these pictures, in their order."""
        self.state = [
            part.reshape(-1, part.shape[-1])[rows].reshape(len(pictures), -1, part.shape[-1])
            for part in self.state
        ]
        if len(pictures) < len(self.features):
            self.features = self.features[pictures]
            self.keys = self.keys[pictures]

    def _step(self, words: Ints, bans: Bans) -> tuple[Floats, Floats]:
        """Log probs (rows, V) of the next word, -inf where banned, and weights (rows, N)."""
        inputs = {"words": words.reshape(self.pictures, -1), "features": self.features}
        inputs |= {"keys": self.keys}
        inputs |= {f"state_{part}": value for part, value in enumerate(self.state)}
        logits, weights, *self.state = self.step.run(None, inputs)
        logits = logits.reshape(len(words), -1)
        logits[:, bans.everywhere] = -np.inf
        logits[bans.rows, bans.words] = -np.inf
        return _log_softmax(logits), weights.reshape(len(words), -1)


def _log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _truncate(log_probs: Floats, config: DecodingConfig) -> Floats:
    """Probabilities (rows, V) after temperature, top-k, then top-p (Holtzman et al. 2020)."""
    log_probs = log_probs / np.float32(config.temperature)  # (rows, V)
    size = log_probs.shape[1]
    if config.top_k:
        kept = min(config.top_k, size)
        least = np.partition(log_probs, size - kept, axis=1)[:, size - kept, None]  # (rows, 1)
        log_probs = np.where(log_probs < least, -np.inf, log_probs)
    if config.top_p < 1:
        order = np.argsort(-log_probs, axis=1, kind="stable")  # (rows, V)
        ordered = np.exp(_log_softmax(np.take_along_axis(log_probs, order, axis=1)))
        before = ordered.cumsum(axis=1) - ordered  # (rows, V)
        outside = np.zeros(before.shape, bool)
        np.put_along_axis(outside, order, before >= config.top_p, axis=1)
        log_probs = np.where(outside, -np.inf, log_probs)
    return np.exp(_log_softmax(log_probs))


def open_session(file: Path) -> "InferenceSession":
    """A graph ready to run on one thread; UnusableGraphs where ONNX Runtime cannot load it."""
    try:
        import onnxruntime
    except ImportError as error:
        raise UnusableGraphs(
            "ONNX graphs need the extra onnx: pip install "
            "'captioner[onnx]', or '.[onnx]' in a clone"
        ) from error
    version = onnxruntime.__version__
    if tuple(map(int, version.split(".")[:2])) < LEAST_VERSION:
        expected = ".".join(map(str, LEAST_VERSION))
        raise UnusableGraphs(
            f"onnxruntime is {version}, expected {expected} or newer: pip install -U onnxruntime"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # see OnnxRuntime.map
    options.log_severity_level = 4  # what is wrong is in the error
    try:
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no class in common but this
        reason = " ".join(str(error).split())[:200]
        raise UnusableGraphs(f"{file}: onnxruntime cannot load it ({reason}); {AGAIN}") from error


def _cores() -> int:
    """How many threads to use: as OMP_NUM_THREADS says, as torch does, or one for each core."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted):
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
