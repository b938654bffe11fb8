"""Every reader of a text file with an example of what it reads, and damaged files of all kinds."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from captioner.cli.ask import read_pairs
from captioner.config.toml_file import read_stages
from captioner.data.box_files import read_instances
from captioner.data.caption_files import read_captions
from captioner.data.question_files import read_questions
from captioner.metrics.caption_results import read_references
from captioner.metrics.result_files import read_answers, read_results
from captioner.training.log import TrainingLog

PICTURES = [{"id": 7, "file_name": "a.jpg", "width": 40, "height": 30}, {"id": 8, "file_name": "b"}]
COCO = {
    "images": PICTURES,
    "annotations": [
        {"id": 1, "image_id": 7, "caption": "a dog"},
        {"id": 2, "image_id": 8, "caption": "two cats"},
    ],
    "categories": [{"id": 1, "name": "dog"}],
}
KARPATHY = {
    "images": [
        {
            "filename": "a.jpg",
            "filepath": "val2014",
            "cocoid": 7,
            "split": "train",
            "sentences": [{"raw": "a dog"}],
        }
    ]
}
QUESTIONS = {
    "data_subtype": "val2014",
    "questions": [{"question_id": 1, "image_id": 7, "question": "what is it?"}],
}
ANNOTATIONS = {
    "annotations": [
        {
            "question_id": 1,
            "image_id": 7,
            "question_type": "what is",
            "answer_type": "other",
            "answers": [{"answer": "dog", "answer_id": 1}, {"answer": "cat", "answer_id": 2}],
        }
    ]
}
INSTANCES = {
    "images": PICTURES[:1],
    "categories": [{"id": 1, "name": "dog"}],
    "annotations": [{"image_id": 7, "category_id": 1, "bbox": [1.5, 2, 20, 10]}],
}
LINES = [{"image": "a.jpg", "caption": "a dog"}, {"image": "b", "caption": "two cats"}]
LAVIS = [{"image": "a.jpg", "caption": ["a dog", "a cat"]}, {"image": "b", "caption": "a cow"}]
ASKED = [{"image": "a.jpg", "question_id": 1, "question": "what is it?", "answer": ["dog", "cat"]}]
PAIRS = [{"image": "a.jpg", "question": "what is it?"}]
LOG = [{"step": 20, "loss": 2.5}, {"step": 40, "epoch": 1, "BLEU-4": 0.5}]
TOML = """
[data]
images = ["a", "b"]
[training]
epochs = 3
learning_rate = 1e-3
mirror = true
[[stages]]
name = "words"
[stages.model]
cell = "gru"
"""

# Written in place of these texts: what json.dumps would not write.
RAW = {
    '"<digits>"': "9" * 5000,
    '"<large>"': "1" + "0" * 400,
    '"<infinite>"': "1e999",
    '"<constant>"': "NaN",
    '"<half>"': '"\\ud83d"',
    '"<deep>"': "[" * 100_000,
    '"<nested>"': "[" * 900 + "]" * 900,
}
VALUES = (*(json.loads(raw) for raw in RAW), None, True, -1, 0.5, "", "\0", [], {}, [7], {"id": 7})


def with_questions(file: Path) -> object:
    return read_questions(file, file.with_name("good answers.json"), [file.parent])


def with_annotations(file: Path) -> object:
    return read_questions(file.with_name("good questions.json"), file, [file.parent])


def with_image_names(file: Path) -> object:
    questions, annotations = (
        file.with_name(f"good {part}.json") for part in ("questions", "answers")
    )
    return read_questions(questions, annotations, [file.parent], file)


READERS: dict[str, tuple[str, Callable[[Path], object], Any]] = {
    "coco": ("a.json", lambda file: read_captions(file, [file.parent]), COCO),
    "karpathy": ("a.json", lambda file: read_captions(file, [file.parent]), KARPATHY),
    "lines": ("a.jsonl", lambda file: read_captions(file, [file.parent]), LINES),
    "csv": (
        "a.csv",
        lambda file: read_captions(file, [file.parent]),
        "image,caption\na.jpg,a dog\n",
    ),
    "tokens": (
        "a.txt",
        lambda file: read_captions(file, [file.parent]),
        "a.jpg#0\ta dog\nb#1\ttwo cats\n",
    ),
    "flickr30k": (
        "results.csv",
        lambda file: read_captions(file, [file.parent]),
        "image_name| comment_number| comment\na.jpg| 0| a dog\nb| 4   two cats\n",
    ),
    "lavis": ("a.json", lambda file: read_captions(file, [file.parent]), LAVIS),
    "lavis questions": ("a.json", lambda file: read_questions(file, None, [file.parent]), ASKED),
    "questions": ("a.json", with_questions, QUESTIONS),
    "annotations": ("a.json", with_annotations, ANNOTATIONS),
    "image names": ("a.json", with_image_names, {"7": "a.jpg"}),
    "instances": ("a.json", lambda file: read_instances(file, [file.parent]), INSTANCES),
    "results": ("a.json", read_results, [{"image_id": 7, "caption": "a dog"}]),
    "references": ("a.json", read_references, COCO),
    "results by id": ("a.json", read_results, {"7": "a dog"}),
    "result lines": ("a.jsonl", read_results, [{"image_id": 7, "caption": "a dog"}]),
    "answers": ("a.json", read_answers, [{"question_id": 1, "answer": "dog"}]),
    "pairs": ("a.jsonl", read_pairs, PAIRS),
    "log": ("a.jsonl", lambda file: TrainingLog(file).records(), LOG),
    "settings": ("a.toml", read_stages, TOML),
}


def places(content: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value in a JSON document."""
    if before:
        yield before
    if isinstance(content, dict | list):
        for key in content if isinstance(content, dict) else range(len(content)):
            yield from places(content[key], (*before, key))


def mutated_values(content: Any, suffix: str) -> Iterator[bytes]:
    """The document with each of its values replaced by each of VALUES, or left out."""
    for *way, last in places(content):
        for value in (*VALUES, "<left out>"):
            changed = copy.deepcopy(content)
            parent = changed
            for key in way:
                parent = parent[key]
            parent[last] = value
            if value == "<left out>":
                del parent[last]
            yield written(changed, suffix)


def written(content: Any, suffix: str) -> bytes:
    if isinstance(content, str):
        return content.encode()
    rows = [json.dumps(row) + "\n" for row in content] if suffix == ".jsonl" else []
    text = "".join(rows) or json.dumps(content)
    for name, raw in RAW.items():
        text = text.replace(name, raw)
    return text.encode()


def mutated_bytes(content: bytes, draw: Random) -> bytes:
    """The file with a piece of it flipped, removed, doubled, cut off or overwritten."""
    first, last = sorted(draw.choices(range(len(content) + 1), k=2))
    middle = content[first:last]
    other = draw.choice(
        (
            b"",
            middle * 2,
            bytes(byte ^ 1 << draw.randrange(8) for byte in middle[:1]) + middle[1:],
            draw.choice((b"\xff\xfe", b"\0", b'"', b"[", b"}", b"\r", b"9" * 5000, b"[" * 5000)),
        )
    )
    return content[:first] + other + (content[last:] if draw.random() < 0.8 else b"")


def make_neighbours(folder: Path) -> None:
    """The files that the examples of READERS refer to."""
    for picture in ("a.jpg", "b", "000000000007.jpg"):
        (folder / picture).touch()
    (folder / "good questions.json").write_text(json.dumps(QUESTIONS))
    (folder / "good answers.json").write_text(json.dumps(ANNOTATIONS))
