"""The made set: coloured shapes as COCO captions, COCO instances and VQA v2 questions."""

import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

from captioner.data.shapes.drawing import Drawing, draw
from captioner.data.shapes.questions import Form, balanced_questions
from captioner.data.shapes.scenes import NOUNS, PLURALS, Scene, draw_scene
from captioner.errors import CaptionerError

MIN_IMAGES, MAX_IMAGES = 10, 100_000
MIN_SIZE, MAX_SIZE = 64, 2048

# The words of captions that name a shape, with their category among the instances.
SHAPE_WORDS = {word: noun for noun in NOUNS for word in (noun, PLURALS[noun])}

_Record = dict[str, Any]


def make_shapes(folder: Path, *, images: int, seed: int, size: int = 224) -> Iterator[int]:
    """Make the set in a new folder, yielding the number of pictures drawn so far.

    Four fifths of the pictures are "train", the rest "val"; no scene occurs twice. The folder
    appears when all of it is there. The same arguments give the same bytes. Raises CaptionerError
    where the folder is in use, a number is out of bounds, or nothing more can be written.
    """
    if not MIN_IMAGES <= images <= MAX_IMAGES:
        raise CaptionerError(f"cannot make {images} pictures; give {MIN_IMAGES} to {MAX_IMAGES}")
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise CaptionerError(f"cannot draw {size} pixels wide; give {MIN_SIZE} to {MAX_SIZE}")
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise CaptionerError(f"{folder} is already there; give a new folder or empty it")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".shapes-", dir=folder.parent) as scratch:
            unfinished = Path(scratch) / "shapes"
            yield from _write_set(unfinished, _different_scenes(Random(seed), images), seed, size)
            folder.mkdir(exist_ok=True)
            for part in unfinished.iterdir():
                part.rename(folder / part.name)
    except OSError as error:
        raise CaptionerError(f"cannot write {folder}: {error.strerror}") from error


def _different_scenes(random: Random, number: int) -> dict[int, Scene]:
    """That many scenes by image id, from 1 on."""
    scenes: dict[Scene, int] = {}
    while len(scenes) < number:
        scenes.setdefault(draw_scene(random), len(scenes) + 1)
    return {image_id: scene for scene, image_id in scenes.items()}


def _write_set(folder: Path, scenes: Mapping[int, Scene], seed: int, size: int) -> Iterator[int]:
    (folder / "images").mkdir(parents=True)
    settings = Path(__file__).with_name("training.toml").read_text(encoding="utf-8")
    (folder / "training.toml").write_text(settings, encoding="utf-8", newline="\n")
    random = Random(seed)
    train = len(scenes) * 4 // 5
    for split, first, end in (("train", 1, train + 1), ("val", train + 1, len(scenes) + 1)):
        part = {image_id: scenes[image_id] for image_id in range(first, end)}
        pictures: list[_Record] = []
        instances: list[_Record] = []
        for image_id, scene in part.items():
            name = f"COCO_{split}_{image_id:012d}.png"
            drawing = draw(scene, size)
            (folder / "images" / name).write_bytes(drawing.png)
            pictures.append({"id": image_id, "file_name": name, "width": size, "height": size})
            instances += _instances(image_id, scene, drawing)
            yield image_id
        info = {"description": f"coloured shapes, {split}, seed {seed}"}
        _write_coco(folder, split, {"info": info, "images": pictures}, part, instances)
        _write_vqa(folder, split, {"info": info}, balanced_questions(part, random))


def _instances(image_id: int, scene: Scene, drawing: Drawing) -> list[_Record]:
    return [
        {
            "id": 10 * image_id + number,
            "image_id": image_id,
            "category_id": 1 + NOUNS.index(shape.noun),
            "bbox": box,
            "area": area,
            "iscrowd": 0,
        }
        for number, (shape, box, area) in enumerate(
            zip(scene.shapes, drawing.boxes, drawing.areas, strict=True), start=1
        )
    ]


def _write_coco(
    folder: Path,
    split: str,
    head: _Record,
    scenes: Mapping[int, Scene],
    instances: list[_Record],
) -> None:
    captions = [
        {"id": 10 * image_id + number, "image_id": image_id, "caption": caption}
        for image_id, scene in scenes.items()
        for number, caption in enumerate(scene.captions, start=1)
    ]
    categories = [{"id": number, "name": noun} for number, noun in enumerate(NOUNS, start=1)]
    _write_json(folder / f"captions_{split}.json", head | {"annotations": captions})
    _write_json(
        folder / f"instances_{split}.json",
        head | {"annotations": instances, "categories": categories},
    )


def _write_vqa(folder: Path, split: str, head: _Record, asked: list[tuple[int, Form, str]]) -> None:
    head = head | {"data_type": "mscoco", "data_subtype": split}  # as pictures are named after COCO
    questions: list[_Record] = []
    annotations: list[_Record] = []
    numbers: Counter[int] = Counter()
    for image_id, form, answer in asked:
        ids = {"question_id": 1000 * image_id + numbers[image_id], "image_id": image_id}
        numbers[image_id] += 1
        questions.append(ids | {"question": form.text})
        annotations.append(
            ids
            | {
                "question_type": form.question_type,
                "answer_type": form.answer_type,
                "multiple_choice_answer": answer,
                "answers": [
                    {"answer": answer, "answer_confidence": "yes", "answer_id": person}
                    for person in range(1, 11)
                ],
            }
        )
    _write_json(
        folder / f"questions_{split}.json",
        head | {"task_type": "Open-Ended", "questions": questions},
    )
    _write_json(folder / f"annotations_{split}.json", head | {"annotations": annotations})


def _write_json(file: Path, content: _Record) -> None:
    file.write_text(json.dumps(content), encoding="utf-8")
