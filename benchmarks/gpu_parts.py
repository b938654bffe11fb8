"""What benchmarks/gpu.py measures: steps, searches and captions of the bundled model."""

import copy
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

sys.path.insert(0, str(Path(__file__).parents[1]))

from quiet import Quiet

from captioner.api import Captioner
from captioner.config.run import RunConfig
from captioner.config.settings import DecodingConfig, TrainingConfig
from captioner.data.caption_batches import Batch
from captioner.data.caption_files import read_captions
from captioner.data.padding import pad_captions
from captioner.data.parts import Part
from captioner.data.picture_loading import Views
from captioner.data.shapes.maker import make_shapes
from captioner.data.vocabulary import END
from captioner.decoding.beam_search import decode
from captioner.metrics.bleu import bleu
from captioner.metrics.cider import cider_d
from captioner.metrics.ptb_tokenizer import tokenize
from captioner.model import checkpoint
from captioner.training.log import TrainingLog
from captioner.training.optimizer import make_optimizer
from captioner.training.rewards import CaptionReward
from captioner.training.setup import Task, set_tf32
from captioner.training.step import train_step

PRECISIONS = ("float32", "TF32", "bfloat16")
TEXTS = 5  # captions of each picture
Row = dict[str, Any]


@dataclass(frozen=True)
class Timed:
    """Seconds, GB of GPU memory and TFLOP of one call."""

    seconds: float
    gigabytes: float
    tflop: float


class Flops(TorchDispatchMode):
    """Counts FLOPs; torch's own counter raises where a backward asks for gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Any = (), named: Any = None
    ) -> Any:
        result = function(*arguments, **(named or {}))
        if function._overloadpacket in flop_registry:
            count = flop_registry[function._overloadpacket]
            self.total += count(*arguments, **(named or {}), out_val=result)
        return result


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def measure(work: Callable[[], object], device: torch.device, rounds: int) -> Timed:
    """The median over rounds, after two to warm up, one of which counts FLOPs."""
    work()
    with Flops() as flops:
        work()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(rounds):
        wait(device)
        start = time.perf_counter()
        work()
        wait(device)
        seconds.append(time.perf_counter() - start)
    memory = torch.cuda.max_memory_allocated() if device.type == "cuda" else 0
    return Timed(statistics.median(seconds), memory / 1e9, flops.total / 1e12)


@contextmanager
def computing_in(precision: str, device: torch.device) -> Iterator[None]:
    """Compute products in one of PRECISIONS."""
    set_tf32(precision != "float32")
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        yield


def measure_peaks(device: torch.device, size: int, rounds: int) -> dict[str, float]:
    """TFLOP/s of a large product in each precision."""
    left, right = (torch.randn(size, size, device=device) for _ in range(2))
    peaks = {}
    for precision in PRECISIONS:
        kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
        factors = left.to(kind), right.to(kind)
        with computing_in("TF32" if precision == "TF32" else "float32", device):
            timed = measure(lambda: factors[0] @ factors[1], device, rounds)  # noqa: B023
        peaks[precision] = timed.tflop / timed.seconds
    return peaks


def make_task(precision: str, device: torch.device, pictures: int, *, critic: bool) -> Task:
    """A task of the bundled model's arrangement, without data of its own."""
    model = checkpoint.load(checkpoint.default_checkpoint()).model.to(device)
    training = TrainingConfig(
        pictures_per_batch=pictures,
        self_critical=critic,
        autocast=precision == "bfloat16",
        full_precision=precision != "bfloat16",
        learning_rate=1e-6,
    )
    set_tf32(precision != "float32")
    vocabulary = model.caption_parts()[1]
    texts = [[vocabulary.decode(tokens) for tokens in make_tokens(TEXTS)] for _ in range(pictures)]
    reward = CaptionReward(texts, vocabulary, bleu_reward=0.5, repeat_cost=0.4) if critic else None
    return Task(
        run=RunConfig(model=model.config, training=training),
        output=Path(),
        model=model,
        captions=None,
        val_captions=None,
        questions=None,
        val_questions=None,
        reward=reward,
        device=device,
        reporter=Quiet(),
        log=TrainingLog(Path("log.jsonl")),
        data={},
        start=None,
        confidence_curve=None,
    )


def make_tokens(captions: int) -> list[list[int]]:
    """Captions of 8 to 16 common words, COCO's lengths."""
    lengths = torch.randint(8, 17, (captions,)).tolist()
    return [[*torch.randint(4, 1000, (length,)).tolist(), END] for length in lengths]


def make_batch(task: Task, pictures: int) -> Batch:
    """Random maps as the feature cache has them, with captions."""
    encoder = task.model.encoder
    pixels = torch.zeros(1, 3, encoder.image_size, encoder.image_size, device=task.device)
    maps = torch.rand(pictures, *encoder.trunk(pixels).shape[1:]).half()
    tokens, lengths = pad_captions(make_tokens(pictures * TEXTS))
    return Batch(
        views=Views(maps, cached=True),
        tokens=tokens,
        lengths=lengths,
        rows=torch.arange(pictures).repeat_interleave(TEXTS),
        indices=list(range(pictures)),
        part=Part(pictures, len(lengths), sum(lengths), 0, 0),
    )


def training_row(
    pictures: int, precision: str, device: torch.device, peak: float, rounds: int, *, critic: bool
) -> Row:
    """Captions a second of training steps, by cross entropy or self-critical."""
    torch.manual_seed(0)
    task = make_task(precision, device, pictures, critic=critic)
    batch, optimizer = make_batch(task, pictures), make_optimizer(task.model, task.run.training)
    timed = measure(lambda: train_step(task, optimizer, [batch], [], 0), device, rounds)
    rate = timed.tflop / timed.seconds
    return {
        "pictures": pictures,
        "precision": precision,
        "captions/s": pictures * TEXTS / timed.seconds,
        "ms": 1000 * timed.seconds,
        "TFLOP/s": rate,
        "share of peak": rate / peak,
        "GB": timed.gigabytes,
    }


def captioning_row(
    pictures: int, precision: str, device: torch.device, peak: float, rounds: int
) -> Row:
    """Pictures a second of the encoder, greedy search and beam search, one after the other."""
    model = checkpoint.load(checkpoint.default_checkpoint()).model.eval().to(device)
    encoder, (decoder, _) = copy.deepcopy(model.encoder), model.caption_parts()
    encoder.fold_batch_norms()
    pixels = torch.randn(pictures, 3, encoder.image_size, encoder.image_size, device=device)
    features: list[Tensor] = []

    @torch.no_grad()
    def encode() -> None:
        features[:] = [encoder(pixels)]

    row: Row = {"pictures": pictures, "precision": precision}
    with computing_in(precision, device):
        timed = measure(encode, device, rounds)
        row["encoder/s"] = pictures / timed.seconds
        row["share of peak"] = timed.tflop / timed.seconds / peak
        for name, beam in (("greedy/s", 1), ("beam 3/s", 3)):
            config = DecodingConfig(beam_size=beam)
            found = measure(lambda: decode(decoder, features[0], config), device, min(rounds, 3))  # noqa: B023
            row[name] = pictures / found.seconds
            row["GB"] = max(timed.gigabytes, found.gigabytes)
    return row


def caption_rows(device: torch.device, pictures: int) -> Iterator[Row]:
    """Captions of the made shapes on this device, against those of the processor."""
    with tempfile.TemporaryDirectory() as folder:
        list(make_shapes(Path(folder), images=2 * max(pictures, 8), seed=0))
        annotations = next(Path(folder).rglob("captions_train*.json"))
        items = read_captions(annotations, [Path(folder) / "images"])[:pictures]
        files = [item.path for item in items]
        references = [[tokenize(text) for text in item.captions] for item in items]
        set_tf32(False)
        found = {"processor": Captioner.load(device="cpu").caption(files)}
        for precision in PRECISIONS:
            with computing_in(precision, device):
                found[precision] = Captioner.load(device=str(device)).caption(files)
    for name, captions in found.items():
        words = [tokenize(caption.text) for caption in captions]
        same = [a.text == b.text for a, b in zip(captions, found["processor"], strict=True)]
        yield {
            "computed in": name,
            "equal to the processor's": sum(same) / len(same),
            "log probability": statistics.mean(c.log_probability for c in captions),
            "BLEU-4": float(bleu(words, references)[3]),
            "CIDEr": float(cider_d(words, references).mean()),
        }
