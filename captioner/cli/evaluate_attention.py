"""captioner evaluate attention: does the model look at what it names, and need to?"""

import json
from pathlib import Path
from typing import Annotated

import typer

from captioner.cli import options
from captioner.cli.help_pages import OUTPUT, PICTURES, examples
from captioner.errors import CaptionerError

SEED = 0  # of the random cells that are masked for comparison


EXAMPLES = examples(
    "captioner evaluate attention --images photos --instances instances_val.json",
    "captioner evaluate attention --images photos --instances instances_val.json --json",
)


def attention(
    images: options.Images,
    instances: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="Boxes, in the form of COCO's instances.", rich_help_panel=PICTURES
        ),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="The figures as JSON.", rich_help_panel=OUTPUT)
    ] = False,
    batch_size: options.BatchSize = 16,
    checkpoint: options.Checkpoint = None,
    device: options.Device = None,
) -> None:
    """Test whether the model looks at what it names, and needs to.

    Captions every picture. For each word that names a category of the instances file, it checks
    whether the cell with the largest weight lies in a box of that category, and how probable the
    word is when 1/8 to 7/8 of the cells are masked, the most or the least attended first. Uniform
    attention is printed beside it.
    """
    import numpy as np

    from captioner.api import Captioner
    from captioner.cli.progress import show_progress
    from captioner.data.box_files import read_instances
    from captioner.evaluation import caption_with_features, mask_cells
    from captioner.metrics.pointing_game import named_indices, pointing_game, total
    from captioner.visualization.attention_maps import entropy

    pictures, categories = read_instances(instances, images)
    model = Captioner.load(checkpoint, device)
    generator = np.random.default_rng(SEED)
    games, masked, entropies = [], [], []
    paths = [picture.path for picture in pictures]
    decoded = show_progress(
        caption_with_features(model, paths, model.decoding, batch_size), total=len(paths)
    )
    for picture, (best, features) in zip(pictures, decoded, strict=True):
        words = [word.word for word in best.words]
        games.append(pointing_game(words, best.attention, picture.boxes, categories))
        entropies.append(entropy(best.attention))
        if indices := named_indices(words, categories):
            masked.append(mask_cells(model, features, best, indices, generator))
    found = total(games)
    if not found.named:
        raise CaptionerError(
            f"no caption names a category of {instances}: {', '.join(list(categories)[:5])} ..."
        )
    deletion, insertion, random = np.concatenate(masked).mean((0, 2)).tolist()
    record = {
        "pictures": len(pictures),
        "named": found.named,
        "absent": found.absent,
        "pointing": found.share,
        "uniform": found.chance_share,
        "deletion": deletion,
        "insertion": insertion,
        "random": random,
        "entropy": float(np.concatenate(entropies).mean()),
    }
    if as_json:
        print(json.dumps(record))
    else:
        print_attention(record)


def print_attention(record: dict[str, float]) -> None:
    """Print the scores of attention beside those of uniform attention."""
    rows = [
        ("heaviest cell in its box", record["pointing"], record["uniform"], "higher is better"),
        ("probability, deletion", record["deletion"], record["random"], "lower is better"),
        ("probability, insertion", record["insertion"], record["random"], "higher is better"),
        ("entropy of the maps", record["entropy"], 1.0, "as a share of uniform"),
    ]
    print(f"words that name a category  {record['named']} in {record['pictures']} pictures")
    print(f"of these, not in picture    {record['absent']}")
    print(f"{'':<28}attention  uniform")
    for name, attention, uniform, meaning in rows:
        print(f"{name:<28}{attention:<9.3f}  {uniform:<7.3f}  {meaning}")
