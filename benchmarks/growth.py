"""Measure how time and memory grow with pictures, caption length, locations, vocabulary and beam.

    OMP_NUM_THREADS=1 python benchmarks/growth.py [FOLDER]

Each point is measured in a new process with one thread: the median processor time of three runs,
and the memory that they add to the peak. Sizes are those of the bundled checkpoint, with random
weights in the decoder: 8 heads of 512, 100 locations, 3,500 words. Prints a table and an estimate
for COCO and a billion pictures, and writes growth.png.
"""

import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from decoding import peak_memory

from captioner import Captioner
from captioner.config.settings import DecodingConfig
from captioner.data.vocabulary import END, START
from captioner.decoding.beam_search import decode
from captioner.model.attention import SpatialAttention
from captioner.model.checkpoint import default_checkpoint, load
from captioner.model.decoder import CaptionDecoder
from captioner.model.recurrence import LSTMCell
from captioner.training.losses import caption_loss
from captioner.training.setup import make_map_source

HERE = Path(__file__).parent
SAMPLES = HERE.parent / "data" / "samples"
CAPTIONS, WORDS, LOCATIONS, VOCABULARY, SIZE, E = 64, 12, 100, 3500, 512, 300

# What grows, its values, and the largest expected exponents of time and memory.
GROWTH: dict[str, tuple[list[int], float, float]] = {
    "pictures to caption": ([16, 32, 64], 1, 0),
    "words a caption": ([8, 16, 32], 1, 1),
    "locations": ([64, 128, 256], 1, 1),
    "vocabulary": ([4000, 8000, 16000], 1, 1),
    "beam": ([2, 4, 8], 1, 1),
}
COCO_PICTURES, COCO_CAPTIONS, BILLION = 118_287, 591_753, 10**9


def make_decoder(vocabulary: int) -> CaptionDecoder:
    torch.manual_seed(0)
    return CaptionDecoder(
        attention=SpatialAttention(
            query_size=SIZE, feature_size=SIZE, attention_size=SIZE, heads=8
        ),
        cell=LSTMCell(hidden_size=SIZE),
        vocabulary_size=vocabulary,
        feature_size=SIZE,
        embedding_size=E,
        context_gate=True,
        embedding_dropout=0.1,
        hidden_dropout=0.2,
    )


def training(words: int, locations: int, vocabulary: int) -> Callable[[], object]:
    """A training step on 64 captions of so many words, five per picture."""
    decoder = make_decoder(vocabulary).train()
    features = torch.randn(-(-CAPTIONS // 5), locations, SIZE).relu()
    rows = torch.arange(CAPTIONS) // 5
    tokens = torch.randint(4, vocabulary, (CAPTIONS, 1 + words))
    tokens[:, 0], tokens[:, -1] = START, END
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        forced = decoder(tokens, [words] * CAPTIONS, rows, features)
        caption_loss(forced, label_smoothing=0.1, attention_penalty=0.0).backward()
        optimizer.step()

    return step


def searching(beams: int) -> Callable[[], object]:
    """A beam search for 16 captions of 12 words; with random weights none ends earlier."""
    decoder = make_decoder(VOCABULARY).eval()
    features = torch.randn(16, LOCATIONS, SIZE).relu()
    config = DecodingConfig(beam_size=beams, max_words=WORDS)
    return lambda: decode(decoder, features, config)


def captioning(pictures: int, folder: Path) -> Callable[[], object]:
    model = Captioner.load()
    paths = list(islice(cycle(sorted(folder.glob("*.jpg"))), pictures))
    return lambda: sum(1 for _ in model.caption_each(paths, decoding=model.decoding, batch_size=8))


def make_task(quantity: str, value: int, folder: Path) -> Callable[[], object]:
    if quantity == "pictures to caption":
        return captioning(value, folder)
    if quantity == "beam":
        return searching(value)
    sizes = {"words a caption": WORDS, "locations": LOCATIONS, "vocabulary": VOCABULARY}
    sizes[quantity] = value
    return training(*sizes.values())


def measure(quantity: str, value: int, folder: Path) -> tuple[float, float]:
    """Processor seconds and MiB added to the peak; valid only once per process."""
    torch.set_num_threads(1)
    task, before, seconds = make_task(quantity, value, folder), peak_memory(), []
    for _ in range(3):
        start = time.process_time()
        task()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds), peak_memory() - before


def measure_in_new_process(quantity: str, value: int, folder: Path) -> tuple[float, float]:
    command = [sys.executable, __file__, str(folder), quantity, str(value)]
    printed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    seconds, memory = printed.split()[-2:]
    return float(seconds), float(memory)


def exponent(values: list[int], measured: list[float]) -> float:
    """The slope of a line fitted to the logarithms."""
    x = [math.log(value) for value in values]
    y = [math.log(max(value, 1e-9)) for value in measured]
    return statistics.linear_regression(x, y).slope


def table(folder: Path, plot: Path) -> str:
    rows = [
        "| what grows | from, to | processor s | exponent (expected at most) | MiB added "
        "| exponent (expected at most) |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    measured = {}
    for quantity, (values, time_exponent, memory_exponent) in GROWTH.items():
        points = [measure_in_new_process(quantity, value, folder) for value in values]
        measured[quantity] = (values, points)
        seconds, memory = ([point[index] for point in points] for index in (0, 1))
        rows.append(
            f"| {quantity} | {', '.join(f'{value:,}' for value in values)} "
            f"| {', '.join(f'{value:.2f}' for value in seconds)} "
            f"| {exponent(values, seconds):.2f} ({time_exponent}) "
            f"| {', '.join(f'{value:.0f}' for value in memory)} "
            f"| {exponent(values, memory):.2f} ({memory_exponent}) |"
        )
        print(rows[-1], file=sys.stderr, flush=True)
    draw(measured, plot)
    return "\n".join([*rows, "", estimate(measured)])


def estimate(measured: dict[str, tuple[list[int], list[tuple[float, float]]]]) -> str:
    """Estimate the time and disk space for COCO and a billion pictures on one such core."""
    counts, points = measured["pictures to caption"]
    pictures, seconds = counts[-1], points[-1][0]
    words, steps = measured["words a caption"]
    per_picture = seconds / pictures
    line = statistics.linear_regression(words, [step_seconds for step_seconds, _ in steps])
    step = line.slope * WORDS + line.intercept
    map_bytes = make_map_source(
        load(default_checkpoint()).model.encoder, autocast=False
    ).cache_size(1, mirrored=False, crops=0)
    return "\n".join(
        [
            f"- A training step on {CAPTIONS} captions of {WORDS} words (by a line through the "
            f"lengths): {step:.3f} s, {step / CAPTIONS * 1e3:.2f} ms per caption. "
            f"An epoch of COCO: {COCO_CAPTIONS:,} x {step / CAPTIONS * 1e3:.2f} ms = "
            f"{COCO_CAPTIONS * step / CAPTIONS / 3600:.2f} core hours.",
            f"- Captioning: {seconds:.2f} s / {pictures} = {per_picture * 1e3:.1f} ms per "
            f"picture. COCO: {COCO_PICTURES:,} x {per_picture * 1e3:.1f} ms = "
            f"{COCO_PICTURES * per_picture / 3600:.2f} core hours. A billion: "
            f"{BILLION * per_picture / 3600:,.0f} core hours, "
            f"{BILLION * per_picture / 3600 / 24 / 64:.0f} days of a machine with 64 such cores.",
            f"- Disk: a cached map is {map_bytes:,} bytes; COCO "
            f"{COCO_PICTURES * map_bytes / 1e9:.1f} GB, twice that with mirror images; a billion "
            f"{BILLION * map_bytes / 1e12:.0f} TB, so those would be encoded as they are read, "
            "without a cache. Captions of 60 bytes are 60 GB.",
        ]
    )


def draw(measured: dict[str, tuple[list[int], list[tuple[float, float]]]], file: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    for index, (panel, name) in enumerate(zip(panels, ("time", "memory added"), strict=True)):
        for quantity, (values, points) in measured.items():
            x = [value / values[0] for value in values]
            y = [point[index] / points[0][index] for point in points]
            panel.loglog(x, y, "o-", label=quantity)
        panel.loglog([1, 4], [1, 4], "k:", label="in proportion")
        panel.set(xlabel="times as many", ylabel=f"times the {name}", title=name)
    panels[0].legend(fontsize=8)
    figure.savefig(file, dpi=90)


if __name__ == "__main__":
    pictures_folder = Path(sys.argv[1]) if sys.argv[1:] else SAMPLES
    if sys.argv[2:]:
        print(*measure(sys.argv[2], int(sys.argv[3]), pictures_folder))
    else:
        print(table(pictures_folder, HERE / "growth.png"))
