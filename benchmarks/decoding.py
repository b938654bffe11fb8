"""Compare training steps and beam search with a plain implementation and with matrix products.

    python benchmarks/decoding.py

All measurements alternate in one process on one thread, in processor seconds, so that other work on
the machine affects all of them equally. Weights are random, and none ends a caption; 32 captions of
19 words; no dropout. plain.py takes one picture at a time, its optimizer loops over the weights as
is torch's default on a processor, and the floor is that of the products in training_flops and
beam_flops. One picture is bound by reading the weights, so its floor means little.

What lies between a step and its floor are mostly the recurrence's products, of 32 rows: the cell's
weights are read anew for every word. One gradient for all words of the cell's weights, as keys and
features have it, would save 4 to 6 % and needs hooks in every layer. In bfloat16 a large product
runs at 410 to 440 GFLOP/s instead of 100, so the floor is a quarter, and what is no product stays:
additions of gradients, softmax and log softmax, conversions, and the optimizer, 5 %. Products with
the cell's weights reach 330 GFLOP/s; those of one query with a picture's keys are bound by memory.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from plain import PlainDecoder, copy_weights

from captioner.config.settings import DecodingConfig
from captioner.data.vocabulary import END, PADDING, START
from captioner.decoding.beam_search import decode
from captioner.model.attention import SpatialAttention
from captioner.model.decoder import CaptionDecoder
from captioner.model.recurrence import LSTMCell
from captioner.model.teacher_forcing import TeacherForced
from captioner.runtime import has_bfloat16
from captioner.training.losses import caption_loss

BATCH, STEPS, D, A, E, H, V = 32, 19, 1280, 512, 512, 512, 10_000
ADAPTED, HEADS = 512, 8  # of the bundled model


def make_decoders() -> tuple[PlainDecoder, CaptionDecoder]:
    """The plain decoder and captioner's, with the same weights."""
    torch.manual_seed(0)
    plain = PlainDecoder(D, A, E, H, V)
    attention = SpatialAttention(query_size=H, feature_size=D, attention_size=A, additive=True)
    decoder = make_decoder(attention, D)
    copy_weights(plain, decoder)
    return plain, decoder


def make_decoder(attention: SpatialAttention, feature_size: int) -> CaptionDecoder:
    return CaptionDecoder(
        attention=attention,
        cell=LSTMCell(hidden_size=H),
        vocabulary_size=V,
        feature_size=feature_size,
        embedding_size=E,
        context_gate=True,
        embedding_dropout=0.0,
        hidden_dropout=0.0,
    )


class Bundled(nn.Module):
    """The bundled model's arrangement: an adapter after the backbone, attention by dot products."""

    def __init__(self, locations: int) -> None:
        super().__init__()
        self.adapter = nn.Sequential(nn.Linear(D, ADAPTED), nn.LayerNorm(ADAPTED), nn.ReLU())
        self.positions = nn.Parameter(torch.zeros(locations, ADAPTED))
        attention = SpatialAttention(
            query_size=H, feature_size=ADAPTED, attention_size=A, heads=HEADS
        )
        self.decoder = make_decoder(attention, ADAPTED)

    def forward(
        self, tokens: Tensor, lengths: list[int], rows: Tensor, features: Tensor
    ) -> TeacherForced:
        return self.decoder(tokens, lengths, rows, self.adapter(features) + self.positions)


def make_captions(shortest: int, longest: int) -> tuple[Tensor, list[int]]:
    """Tokens (B, 1 + longest) and evenly distributed lengths, which include END."""
    lengths = [shortest + row * (longest + 1 - shortest) // BATCH for row in range(BATCH)]
    lengths = [lengths[(7 * row) % BATCH] for row in range(BATCH)]  # shuffled
    tokens = torch.randint(4, V, (BATCH, 1 + longest))
    tokens[:, 0] = START
    for row, length in enumerate(lengths):
        tokens[row, length] = END
        tokens[row, length + 1 :] = PADDING
    return tokens, lengths


def training_steps(
    locations: int, shortest: int, longest: int, names: Sequence[str]
) -> dict[str, Callable[[], float]]:
    """A training step of each of these, on the same batch; each returns the loss.

    "plain"; captioner "as plain"; "bundled", in the bundled model's arrangement; and that in
    bfloat16, "bundled, bfloat16".
    """
    plain, same = make_decoders()
    features = torch.randn(BATCH, locations, D).relu()
    tokens, lengths = make_captions(shortest, longest)
    rows = torch.arange(BATCH)

    def make_step(
        compute_loss: Callable[[], Tensor], model: nn.Module, *, fused: bool = True
    ) -> Callable[[], float]:
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=fused)

        def step() -> float:
            optimizer.zero_grad(set_to_none=True)
            loss = compute_loss()
            loss.backward()
            optimizer.step()
            return float(loss.detach())

        return step

    def captioner(model: nn.Module, *, autocast: bool = False) -> Callable[[], float]:
        def loss() -> Tensor:
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
                forced = model(tokens, lengths, rows, features)
            return caption_loss(forced, label_smoothing=0.0, attention_penalty=0.0)

        return make_step(loss, model)

    made: dict[str, Callable[[], Callable[[], float]]] = {
        "plain": lambda: make_step(lambda: plain.loss(tokens, features), plain, fused=False),
        "as plain": lambda: captioner(same),
        "bundled": lambda: captioner(Bundled(locations)),
        "bundled, bfloat16": lambda: captioner(Bundled(locations), autocast=True),
    }
    return {name: made[name]() for name in names}


def training_flops(locations: int, shortest: int, longest: int, *, bundled: bool) -> float:
    """FLOPs of the matrix products that a training step needs: 2 per multiply-add.

    Each weight takes part in three products: forward, backward for the weight and backward for its
    input; so do keys and features. The pictures themselves need no gradient.
    """
    words = sum(make_captions(shortest, longest)[1])
    d = ADAPTED if bundled else D
    once = BATCH * locations * (2 * D * ADAPTED + 3 * ADAPTED * A if bundled else 2 * D * A)
    per_word = H * A + H * d + (E + d + H) * 4 * H + H * E + d * E + E * V
    attention = locations * (3 if bundled else 2) * (A + d)
    return 2 * (once + words * (3 * per_word + attention))


def beam_flops(pictures: int, locations: int, beams: int, words: int) -> float:
    """FLOPs of the matrix products of a beam search that projects the keys once per picture."""
    per_row = H * A + H * D + (E + D + H) * 4 * H + H * E + D * E + E * V + locations * (A + D)
    return 2.0 * pictures * (locations * D * A + beams * words * per_row)


def product_rate(kind: torch.dtype = torch.float32) -> float:
    """FLOPs per second of a large matrix product on this processor."""
    left, right = torch.randn(1024, 1280).to(kind), torch.randn(1280, 2048).to(kind)
    start = time.process_time()
    for _ in range(3):
        left @ right
    return 3 * 2 * 1024 * 1280 * 2048 / (time.process_time() - start)


def measure(tasks: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each task in every round, alternating, and the rate of products as "rate"."""
    for task in tasks.values():
        task()
    seconds: dict[str, list[float]] = {name: [] for name in (*tasks, "rate")}
    for _ in range(rounds):
        for name, task in tasks.items():
            start = time.process_time()
            task()
            seconds[name].append(time.process_time() - start)
        seconds["rate"].append(product_rate())
    return seconds


def row(name: str, seconds: dict[str, list[float]], flops: float) -> str:
    """A table row: seconds, speed-up over plain, and ratio to the floor, with their ranges."""

    def spread(values: list[float]) -> str:
        return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"

    rounds = list(zip(seconds["plain"], seconds["captioner"], seconds["rate"], strict=True))
    return (
        f"| {name} | {statistics.median(seconds['plain']):.3f} "
        f"| {statistics.median(seconds['captioner']):.3f} "
        f"| {spread([plain / captioner for plain, captioner, _ in rounds])} "
        f"| {flops / 1e9:.1f} | {statistics.median(seconds['rate']) / 1e9:.0f} "
        f"| {spread([captioner * rate / flops for _, captioner, rate in rounds])} |"
    )


HEADER = (
    "| | plain, s | captioner, s | times as fast | GFLOP of products | GFLOP/s of a product "
    "| times the floor |\n| --- | --- | --- | --- | --- | --- | --- |"
)


def training_table(rounds: int) -> str:
    """Training steps of captioner's arrangements; in bfloat16 where the processor has it."""
    lines = [HEADER]
    for sizes, names in (
        ((196, 19, 19), ("as plain", "bundled", "bundled, bfloat16")),
        ((196, 8, 20), ("bundled",)),
        ((49, 19, 19), ("bundled", "bundled, bfloat16")),
    ):
        chosen = [name for name in names if "bfloat16" not in name or has_bfloat16()]
        measured = measure(training_steps(*sizes, ["plain", *chosen]), rounds)
        for name in chosen:
            seconds = {"plain": measured["plain"], "captioner": measured[name]}
            bfloat16 = "bfloat16" in name
            rates = [product_rate(torch.bfloat16) for _ in range(rounds)]
            seconds["rate"] = rates if bfloat16 else measured["rate"]
            what = f"{name}: {sizes[0]} locations, {sizes[1]} to {sizes[2]} tokens"
            flops = training_flops(*sizes, bundled=name != "as plain")
            lines.append(row(what, seconds, flops))
    return "\n".join(lines)


def beam_tasks(pictures: int, locations: int, beams: int) -> dict[str, Callable[[], object]]:
    """The plain search on the first picture only, and captioner's on all of them together."""
    plain, decoder = make_decoders()
    decoder.store_transposed()  # as Captioner does
    features = torch.randn(pictures, locations, D).relu()
    config = DecodingConfig(beam_size=beams, max_words=STEPS, block_ngrams=0)
    return {
        "plain": lambda: plain.beam(features[:1], beams, STEPS),
        "captioner": lambda: decode(decoder.eval(), features, config),
    }


def beam_table(rounds: int) -> str:
    lines = [HEADER]
    for pictures, locations, beams in (
        (32, 196, 3), (32, 196, 5), (1, 196, 3), (1, 196, 5), (32, 49, 3), (32, 49, 5),
    ):  # fmt: skip
        seconds = measure(beam_tasks(pictures, locations, beams), rounds)
        seconds["plain"] = [pictures * value for value in seconds["plain"]]
        name = f"beam {beams}, {pictures} picture{'s' * (pictures > 1)}, {locations} locations"
        lines.append(row(name, seconds, beam_flops(pictures, locations, beams, STEPS)))
    return "\n".join(lines)


def added_memory(implementation: str, locations: int) -> float:
    """MiB that three training steps add to the peak memory of this process."""
    step = training_steps(locations, STEPS, STEPS, [implementation])[implementation]
    before = peak_memory()
    for _ in range(3):
        step()
    return peak_memory() - before


def peak_memory() -> float:
    """Peak memory in MiB; getrusage's maximum is inherited from the parent process."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def memory_table() -> str:
    names = ("plain", "as plain", "bundled")
    lines = ["| | " + " | ".join(f"{name}, MiB" for name in names) + " |", "| --- " * 4 + "|"]
    for locations in (196, 49):
        peaks = []
        for name in names:
            command = [sys.executable, __file__, "--memory", name, str(locations)]
            printed = subprocess.run(command, capture_output=True, check=True).stdout
            peaks.append(f"{float(printed):.0f}")
        lines.append(f"| {locations} locations | {' | '.join(peaks)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1:2] == ["--memory"]:
        print(added_memory(sys.argv[2], int(sys.argv[3])))
    else:
        print(training_table(3), end="\n\n", flush=True)
        print(memory_table(), beam_table(3), sep="\n\n")
