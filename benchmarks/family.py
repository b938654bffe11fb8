"""Compare recurrent decoders: the cell, the attention and the number of layers.

    python benchmarks/family.py --flickr8k DIR --encoder-weights FILE --work DIR

All runs differ only in the cell, the attention and the layers, and take the same number of steps on
the same batches. All runs on a dataset share one cache of the frozen encoder's features, an 8 x 8
grid. Each run appends its results to DIR/results.jsonl; run the command again to continue. The
tables in --output are replaced; the text below its heading "What it shows" is kept. The Flickr8k
DIR has images/, captions_train.json and captions_val.json in COCO's format.
"""

import argparse
import dataclasses
import itertools
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from quiet import Quiet

from captioner.config.run import DataConfig, RunConfig, SplitConfig
from captioner.config.settings import DecodingConfig, ModelConfig, TrainingConfig
from captioner.data.shapes.maker import make_shapes
from captioner.decoding.beam_search import decode
from captioner.metrics.bleu import bleu
from captioner.metrics.cider import cider_d
from captioner.metrics.ptb_tokenizer import tokenize
from captioner.training.loop import train_one_epoch
from captioner.training.optimizer import make_optimizer
from captioner.training.setup import Task, prepare
from captioner.training.state import Position

SHAPES, FLICKR8K = "shapes", "Flickr8k"
HEADING = "## What it shows\n"
INTRODUCTION = """\
`python benchmarks/family.py --flickr8k DIR --encoder-weights FILE --work DIR`: captioners that
differ only in the cell, the attention and the layers; the same batches of 24 pictures with 2
captions each, the same number of steps and the same learning rate (peak 0.002, then a cosine to 0),
without a context gate and with one attention head. MobileNetV2 is frozen, its 8 x 8 grid cached.
Captions are greedy and scored on the whole validation set; losses are in nats per word, seconds are
those of one core in training. Short and long split the pictures at the median of the mean length of
their references; "loss long" splits the captions at their median length. With several seeds: the
mean (minimum to maximum).
"""
MEASURES = ("BLEU-4", "BLEU-4 short", "BLEU-4 long", "CIDEr-D", "loss", "loss long", "seconds")


@dataclasses.dataclass(frozen=True)
class Member:
    """One run: its dataset, decoder, seed and number of epochs."""

    set: str
    cell: str
    attention: str
    layers: int
    seed: int
    epochs: int


def members(shapes_epochs: int, flickr8k_epochs: int) -> list[Member]:
    """All runs, with one seed of each decoder first."""
    main = [("rnn", "dot"), ("gru", "dot"), ("lstm", "dot"), ("lstm", "none"), ("lstm", "additive")]
    all_decoders = itertools.product(
        (1, 2), ("rnn", "gru", "lstm", "highway"), ("none", "dot", "additive")
    )
    on_flickr8k = [
        Member(FLICKR8K, cell, attention, 1, seed, flickr8k_epochs)
        for seed in (1, 2, 3)
        for cell, attention in main
    ]
    on_shapes = [
        Member(SHAPES, cell, attention, layers, 1, shapes_epochs)
        for layers, cell, attention in all_decoders
    ]
    return on_flickr8k[: len(main)] + on_shapes + on_flickr8k[len(main) :]


def settings(member: Member, folder: Path, encoder_weights: str) -> RunConfig:
    """The settings of a run, which differ within a dataset only in the decoder and the seed."""
    on_shapes = member.set == SHAPES
    return RunConfig(
        data=DataConfig(
            images=(str(folder / "images"),),
            train=SplitConfig(captions=(str(folder / "captions_train.json"),)),
            val=SplitConfig(captions=(str(folder / "captions_val.json"),)),
        ),
        model=ModelConfig(
            # Both have an 8 x 8 grid; the small pictures of shapes with 16 pixels per cell, not 32.
            encoder_stage="features.13" if on_shapes else "",
            image_size=113 if on_shapes else 225,
            cell=member.cell,
            layers=member.layers,
            attention=member.attention,
            attention_heads=1,
            context_gate=False,  # so that "none" reads the same vector before every word
            feature_size=128 if on_shapes else 256,
            attention_size=128 if on_shapes else 256,
            embedding_size=64 if on_shapes else 128,
            hidden_size=128 if on_shapes else 256,
            feature_dropout=0.0,
            embedding_dropout=0.1,
            hidden_dropout=0.1,
        ),
        training=TrainingConfig(
            encoder_weights=encoder_weights,
            mirror=False,
            min_count=1 if on_shapes else 8,
            epochs=member.epochs,
            pictures_per_batch=24,
            captions_per_picture=2,
            learning_rate=2e-3,
            warm_up_steps=30,
            label_smoothing=0.0,
            validation_pictures=0,
            save_steps=10**9,
            seed=member.seed,
        ),
        decoding=DecodingConfig(beam_size=1, block_ngrams=0),
    )


def train(member: Member, folder: Path, work: Path, encoder_weights: str) -> dict[str, Any]:
    """Train and score one member."""
    run = settings(member, folder, encoder_weights)
    torch.manual_seed(member.seed)
    task = prepare(
        run, output=work, caches=work / "cache", device=torch.device("cpu"), reporter=Quiet()
    )
    task.log.cut(0, 0)
    optimizer, position = make_optimizer(task.model, run.training), Position()
    start = time.process_time()
    while position.epoch < member.epochs:
        train_one_epoch(task, task.model, optimizer, position)
        position.epoch, position.batch = position.epoch + 1, 0
    seconds = time.process_time() - start
    clipped = statistics.mean(record["clipped"] for record in task.log.records())
    return {
        **dataclasses.asdict(member),
        **score(task),
        "seconds": seconds,
        "steps": position.step,
        "clipped": clipped,
        "parameters": sum(p.numel() for p in task.model.parameters() if p.requires_grad),
    }


@torch.no_grad()
def score(task: Task) -> dict[str, float]:
    """Scores of greedy captions, also separately for pictures with short and long references.

    Losses are in nats per word. Short and long are split at the median: of the mean reference
    length of pictures for BLEU-4, of the caption length for the loss.
    """
    model, batches = task.model.eval(), task.val_captions
    decoder, vocabulary = model.caption_parts()
    assert batches is not None
    candidates, references, losses = [], [], []
    for batch in batches.epoch(0):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=task.run.training.autocast):
            features = model.encoder.head(batch.views.pictures)
            forced = decoder(batch.tokens, batch.lengths, batch.rows, features)
            hypotheses = decode(decoder, features, task.run.decoding)
        words = torch.nn.functional.cross_entropy(
            forced.logits.float(), forced.targets, reduction="none"
        )
        totals = torch.zeros(len(batch.lengths)).index_add(0, forced.captions, words)
        losses += list(zip(batch.lengths, totals.tolist(), strict=True))
        candidates += [tokenize(vocabulary.decode(best.tokens)) for best, *_ in hypotheses]
        texts = [batches.pictures[index].captions for index in batch.indices]
        references += [[tokenize(text) for text in captions] for captions in texts]
    lengths = [statistics.mean(map(len, texts)) for texts in references]
    middle = statistics.median(lengths)
    middle_caption = statistics.median(length for length, _ in losses)

    def bleu4(wanted: list[bool]) -> float:
        chosen = [list(itertools.compress(part, wanted)) for part in (candidates, references)]
        return float(bleu(*chosen)[3])

    def loss(least: float) -> float:
        part = [item for item in losses if item[0] > least]
        return sum(total for _, total in part) / sum(length for length, _ in part)

    return {
        "BLEU-4": bleu4([True] * len(lengths)),
        "BLEU-4 short": bleu4([length <= middle for length in lengths]),
        "BLEU-4 long": bleu4([length > middle for length in lengths]),
        "median words": middle,
        "CIDEr-D": float(cider_d(candidates, references).mean()),
        "loss": loss(0),
        "loss long": loss(middle_caption),
        "different words": len({word for caption in candidates for word in caption}),
    }


def table(results: list[dict[str, Any]]) -> list[str]:
    """A Markdown table with a row per decoder: the mean over seeds (minimum to maximum)."""
    names = ("cell", "attention", "layers")
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for result in results:
        groups.setdefault(tuple(result[name] for name in names), []).append(result)
    lines = [f"| {' | '.join(names)} | {' | '.join(MEASURES)} |"]
    lines.append("| --- " * (len(names) + len(MEASURES)) + "|")
    for member, runs in groups.items():
        cells = [str(value) for value in member]
        for measure in MEASURES:
            digits = {"seconds": 0, "loss": 3, "loss long": 3}.get(measure, 4)
            values = [run[measure] for run in runs]
            mean = f"{statistics.mean(values):.{digits}f}"
            spread = f" ({min(values):.{digits}f} to {max(values):.{digits}f})"
            cells.append(mean + spread * (len(values) > 1))
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def report(results: list[dict[str, Any]], output: Path) -> None:
    """Write the tables of all results so far, and keep the text below them in the file."""
    lines = ["# The recurrent family, side by side", "", INTRODUCTION]
    for name in (FLICKR8K, SHAPES):
        part = [result for result in results if result["set"] == name]
        if part:
            steps, median = part[0]["steps"], part[0]["median words"]
            lines += [f"## {name}: {steps} steps, {part[0]['epochs']} epochs", ""]
            lines += [f"Long references have more than {median:g} words.", ""]
            lines += [*table(part), ""]
    kept = output.read_text(encoding="utf-8").partition(HEADING)[2] if output.exists() else ""
    output.write_text("\n".join(lines) + "\n" + HEADING + kept, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flickr8k", type=Path, required=True)
    parser.add_argument("--encoder-weights", default="torchvision")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".md"))
    parser.add_argument("--shapes-epochs", type=int, default=6)
    parser.add_argument("--flickr8k-epochs", type=int, default=2)
    arguments = parser.parse_args()
    folders = {FLICKR8K: arguments.flickr8k, SHAPES: arguments.work / "made"}
    if not folders[SHAPES].exists():
        for _ in make_shapes(folders[SHAPES], images=1500, seed=1, size=113):
            pass
    file = arguments.work / "results.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    results = [json.loads(line) for line in lines]
    for member in members(arguments.shapes_epochs, arguments.flickr8k_epochs):
        if not any(dataclasses.asdict(member).items() <= result.items() for result in results):
            work = arguments.work / member.set
            work.mkdir(exist_ok=True)
            results.append(train(member, folders[member.set], work, arguments.encoder_weights))
            with file.open("a") as opened:
                opened.write(json.dumps(results[-1]) + "\n")
            print(json.dumps(results[-1]), flush=True)
            report(results, arguments.output)


if __name__ == "__main__":
    main()
