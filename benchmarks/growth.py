"""How time and memory grow with pictures, caption length, locations, vocabulary and beam.

    OMP_NUM_THREADS=1 python benchmarks/growth.py [FOLDER]

Every point is a process of its own, one thread: the median of three, in seconds of the processor,
and what the work adds to the process's peak memory. Sizes are those of the shipped checkpoint, its
decoder with random weights: 8 heads of 512, 100 locations, 3,500 words. Prints a table, what COCO
and a billion pictures would take, and writes growth.png.
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
from captioner.training.setup import frozen_layers

HERE = Path(__file__).parent
SAMPLES = HERE.parent / "data" / "samples"
CAPTIONS, WORDS, LOCATIONS, VOCABULARY, SIZE, E = 64, 12, 100, 3500, 512, 300

# What grows, through which values, and the exponents of time and memory that are expected.
GROWTH: dict[str, tuple[list[int], float, float]] = {
    "pictures to caption": ([32, 64, 128, 256], 1, 0),
    "words a caption": ([8, 16, 32, 64], 1, 1),
    "locations": ([32, 64, 128, 256], 1, 1),
    "vocabulary": ([2000, 4000, 8000, 16000], 1, 1),
    "beam": ([1, 2, 4, 8], 1, 1),
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
    """A step on 64 captions of so many words, five a picture."""
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
    """Words of 16 pictures, 12 each; random weights end no caption before."""
    decoder = make_decoder(VOCABULARY).eval()
    features = torch.randn(16, LOCATIONS, SIZE).relu()
    config = DecodingConfig(beam_size=beams, max_words=WORDS)
    return lambda: decode(decoder, features, config)


def captioning(pictures: int, folder: Path) -> Callable[[], object]:
    model = Captioner.load()
    paths = list(islice(cycle(sorted(folder.glob("*.jpg"))), pictures))
    return lambda: sum(1 for _ in model.caption_each(paths, decoding=model.decoding, batch_size=32))


def make_work(what: str, value: int, folder: Path) -> Callable[[], object]:
    if what == "pictures to caption":
        return captioning(value, folder)
    if what == "beam":
        return searching(value)
    sizes = {"words a caption": WORDS, "locations": LOCATIONS, "vocabulary": VOCABULARY}
    sizes[what] = value
    return training(*sizes.values())


def measure(what: str, value: int, folder: Path) -> tuple[float, float]:
    """Seconds of the processor, and MiB added to the peak; in this process, so once a process."""
    torch.set_num_threads(1)
    work, ready, taken = make_work(what, value, folder), peak_memory(), []
    for _ in range(3):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return statistics.median(taken), peak_memory() - ready


def measure_apart(what: str, value: int, folder: Path) -> tuple[float, float]:
    command = [sys.executable, __file__, str(folder), what, str(value)]
    printed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    seconds, memory = printed.split()[-2:]
    return float(seconds), float(memory)


def exponent(values: list[int], measured: list[float]) -> float:
    """The slope of a straight line through the logarithms."""
    across = [math.log(value) for value in values]
    up = [math.log(max(one, 1e-9)) for one in measured]
    return statistics.linear_regression(across, up).slope


def table(folder: Path, plot: Path) -> str:
    rows = [
        "| what grows | from, to | processor s | exponent (expected at most) | MiB added "
        "| exponent (expected at most) |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    found = {}
    for what, (values, of_time, of_memory) in GROWTH.items():
        points = [measure_apart(what, value, folder) for value in values]
        found[what] = (values, points)
        seconds, memory = ([point[kind] for point in points] for kind in (0, 1))
        rows.append(
            f"| {what} | {', '.join(f'{value:,}' for value in values)} "
            f"| {', '.join(f'{one:.2f}' for one in seconds)} "
            f"| {exponent(values, seconds):.2f} ({of_time}) "
            f"| {', '.join(f'{one:.0f}' for one in memory)} "
            f"| {exponent(values, memory):.2f} ({of_memory}) |"
        )
        print(rows[-1], file=sys.stderr, flush=True)
    draw(found, plot)
    return "\n".join([*rows, "", estimate(found)])


def estimate(found: dict[str, tuple[list[int], list[tuple[float, float]]]]) -> str:
    """What all of COCO and a billion pictures would take on one such core, on paper."""
    pictures, captioned = found["pictures to caption"][0][-1], found["pictures to caption"][1][-1]
    words, steps = found["words a caption"]
    a_picture = captioned[0] / pictures
    a_caption = statistics.linear_regression(words, [one[0] for one in steps])
    step = a_caption.slope * WORDS + a_caption.intercept
    a_map = frozen_layers(load(default_checkpoint()).model.encoder, autocast=False).cache_size(
        1, mirrored=False
    )
    return "\n".join(
        [
            f"- A training step on {CAPTIONS} captions of {WORDS} words (by the line through the "
            f"four lengths): {step:.3f} s, {step / CAPTIONS * 1e3:.2f} ms a caption. "
            f"An epoch of COCO: {COCO_CAPTIONS:,} x {step / CAPTIONS * 1e3:.2f} ms = "
            f"{COCO_CAPTIONS * step / CAPTIONS / 3600:.2f} core hours.",
            f"- Captioning: {captioned[0]:.2f} s / {pictures} = {a_picture * 1e3:.1f} ms a "
            f"picture. COCO: {COCO_PICTURES:,} x {a_picture * 1e3:.1f} ms = "
            f"{COCO_PICTURES * a_picture / 3600:.2f} core hours. A billion: "
            f"{BILLION * a_picture / 3600:,.0f} core hours, "
            f"{BILLION * a_picture / 3600 / 24 / 64:.0f} days of a machine with 64 such cores.",
            f"- Disk: a cached map is {a_map:,} bytes; COCO "
            f"{COCO_PICTURES * a_map / 1e9:.1f} GB, twice that with mirror images; a billion "
            f"{BILLION * a_map / 1e12:.0f} TB, so that those would be encoded as they are read, "
            "which needs no cache: captions of 60 bytes are 60 GB.",
        ]
    )


def draw(found: dict[str, tuple[list[int], list[tuple[float, float]]]], file: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    for kind, (panel, name) in enumerate(zip(panels, ("time", "memory added"), strict=True)):
        for what, (values, points) in found.items():
            times = [value / values[0] for value in values]
            panel.loglog(times, [one[kind] / points[0][kind] for one in points], "o-", label=what)
        panel.loglog([1, 8], [1, 8], "k:", label="in proportion")
        panel.set(xlabel="times as many", ylabel=f"times the {name}", title=name)
    panels[0].legend(fontsize=8)
    figure.savefig(file, dpi=90)


if __name__ == "__main__":
    where = Path(sys.argv[1]) if sys.argv[1:] else SAMPLES
    if sys.argv[2:]:
        print(*measure(sys.argv[2], int(sys.argv[3]), where))
    else:
        print(table(where, HERE / "growth.png"))
