"""Questions and answers made from captions, after COCO-QA (Ren et al. 2015), but balanced.

No answer to a question is much more common than the others, so that a model gains nothing without
looking at the picture: every question has as many "yes" as "no", and of k other answers the most
common has at most 2 / k of the pictures, within bounds (see `largest_share`).
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from captioner.data.records import CaptionRecord
from captioner.errors import CaptionerError
from captioner.files import atomic_write
from captioner.questions.picture_facts import PictureFacts
from captioner.questions.rules import questions_of
from captioner.questions.templates import Question

KINDS = ("objects", "number", "colour", "yes/no")
QUESTIONS_PER_PICTURE = 8
YES_NO_PER_PICTURE = 3
MIN_PICTURES = 2  # pictures with an answer, below which that answer is left out of a question

# The question types of VQA v2: a question has the longest of these that it starts with.
_QUESTION_TYPES = (
    "are the", "are there", "can you", "do you", "how many", "in what place", "is the", "is there",
    "is there a", "is this", "is this a", "was", "what", "what animal is", "what color",
    "what color are the", "what color is the", "what is", "what is the", "what is the color of the",
    "what are the", "what is the man", "what is the woman", "what kind of", "what place is",
    "what sport is", "what vehicle is", "what food is", "where are the", "where is the", "where is",
    "where was", "which", "who", "who is",
)  # fmt: skip


@dataclass(frozen=True)
class MadeQuestion:
    """A question about one picture with the phrasing chosen and its answer."""

    image_id: int
    question: Question
    text: str
    answer: str


def join_pictures(files: Iterable[Iterable[CaptionRecord]]) -> dict[int, CaptionRecord]:
    """Join the records of the same file name, with all their captions, and key them by image id.

    The ids of the files are kept if they are all integers and distinct; otherwise the pictures are
    numbered from 1.
    """
    joined: dict[str, CaptionRecord] = {}
    for record in (record for records in files for record in records):
        before = joined.get(record.file_name, record)
        captions = dict.fromkeys((*before.captions, *record.captions))
        joined[record.file_name] = CaptionRecord(record.file_name, before.image_id, tuple(captions))
    ids = [record.image_id for record in joined.values()]
    if len(set(ids)) < len(ids) or not all(isinstance(number, int) for number in ids):
        return dict(enumerate(joined.values(), start=1))
    return {int(record.image_id): record for record in joined.values()}


def make_questions(pictures: Iterable[tuple[int, CaptionRecord]], seed: int) -> list[MadeQuestion]:
    """Make balanced questions, sorted by image id; the same seed makes the same questions.

    Raises CaptionerError if the captions give none.
    """
    asked: dict[Question, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for image_id, record in pictures:
        for question, answer in questions_of(PictureFacts(record.captions)):
            asked[question][answer].append(image_id)
    made = balance(asked, Random(seed))
    if not made:
        raise CaptionerError(
            "no balanced question can be made from these captions; "
            "give more pictures with English captions"
        )
    return made


def balance(
    asked: Mapping[Question, Mapping[str, list[int]]], random: Random
) -> list[MadeQuestion]:
    """Choose the pictures of each question, rarest question first, within the limits per picture.

    Pictures with the fewest questions so far come first. The pictures of every answer take the
    phrasings in turn, so that the phrasing does not give the answer away.
    """
    total: Counter[int] = Counter()
    yes_no: Counter[int] = Counter()
    made = []
    for question in sorted(asked, key=lambda q: (sum(map(len, asked[q].values())), q.phrasings)):
        free = {}
        for answer in sorted(asked[question]):
            ids = [
                number
                for number in asked[question][answer]
                if total[number] < QUESTIONS_PER_PICTURE
                and not (question.kind == "yes/no" and yes_no[number] >= YES_NO_PER_PICTURE)
            ]
            random.shuffle(ids)
            free[answer] = sorted(ids, key=lambda number: total[number])
        quotas = balanced_counts({answer: len(ids) for answer, ids in free.items()}, question.kind)
        start = random.randrange(len(question.phrasings))
        for answer, quota in quotas.items():
            chosen = free[answer][:quota]
            random.shuffle(chosen)
            for turn, image_id in enumerate(chosen):
                text = question.phrasings[(start + turn) % len(question.phrasings)]
                made.append(MadeQuestion(image_id, question, text, answer))
                total[image_id] += 1
                yes_no[image_id] += question.kind == "yes/no"
    return sorted(made, key=lambda item: item.image_id)


def largest_share(answers: int, kind: str) -> float:
    """The largest share of pictures that one of so many different answers may have."""
    if answers < 4 or kind == "number":  # there are few pictures of three or four things
        return 0.5 if answers == 2 else 0.4
    return min(0.3, max(0.2, 2 / answers))


def balanced_counts(pictures: Mapping[str, int], kind: str) -> dict[str, int]:
    """Choose how many of the given pictures of each answer to take: as many as balance allows.

    An answer that fewer than MIN_PICTURES pictures have is left out; a question with one answer
    is not asked.
    """
    left = {answer: number for answer, number in pictures.items() if number >= MIN_PICTURES}
    if len(left) < 2 or (kind == "yes/no" and len(left) != 2):
        return {}
    share = largest_share(len(left), kind)
    for most in range(max(left.values()), 0, -1):
        taken = {answer: min(number, most) for answer, number in left.items()}
        if max(taken.values()) <= share * sum(taken.values()) + 1e-9:
            return taken
    return {}


@dataclass(frozen=True)
class Summary:
    """Counts of questions, texts and answers of one kind, and the best blind accuracy."""

    kind: str
    questions: int
    texts: int
    answers: int
    blind_accuracy: float


def summarize(made: Sequence[MadeQuestion]) -> list[Summary]:
    """Summarize each kind and all; blind accuracy gives every text its most common answer."""
    summaries = []
    for kind in (*KINDS, "all"):
        part = [item for item in made if kind in ("all", item.question.kind)]
        answers: dict[str, Counter[str]] = defaultdict(Counter)
        for item in part:
            answers[item.text][item.answer] += 1
        right = sum(max(counts.values()) for counts in answers.values())
        different = len({item.answer for item in part})
        summaries.append(
            Summary(kind, len(part), len(answers), different, right / max(len(part), 1))
        )
    return summaries


def write_questions(
    folder: Path,
    name: str,
    pictures: Mapping[int, CaptionRecord],
    made: Sequence[MadeQuestion],
    seed: int,
) -> None:
    """Write questions_NAME.json, annotations_NAME.json (VQA v2) and images_NAME.json.

    Raises CaptionerError if one of them already exists or cannot be written.
    """
    files = new_files(folder, name, ("questions", "annotations", "images"))
    head = {
        "info": {
            "description": "questions made from captions by rule and balanced by answer, "
            f"seed {seed}; nobody was asked",
        },
        "made": True,
        "data_type": "mscoco",
        "data_subtype": name,
    }
    questions, annotations = _records(made)
    used = sorted({item.image_id for item in made})
    write_json({str(number): pictures[number].file_name for number in used}, files["images"])
    write_json(head | {"annotations": annotations}, files["annotations"])
    write_json(head | {"task_type": "Open-Ended", "questions": questions}, files["questions"])


def _records(made: Iterable[MadeQuestion]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    questions: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    numbers: Counter[int] = Counter()
    for item in made:
        ids = {
            "question_id": 1000 * item.image_id + numbers[item.image_id],
            "image_id": item.image_id,
        }
        numbers[item.image_id] += 1
        questions.append(ids | {"question": item.text})
        annotations.append(
            ids
            | {
                "question_type": question_type(item.text),
                "answer_type": item.question.answer_type,
                "multiple_choice_answer": item.answer,
                "answers": [{"answer": item.answer, "answer_confidence": "yes", "answer_id": 1}],
            }
        )
    return questions, annotations


def question_type(text: str) -> str:
    """The words a question starts with, as VQA v2 groups questions."""
    starts = (start for start in _QUESTION_TYPES if f"{text} ".startswith(f"{start} "))
    return max(starts, key=len, default="none of the above")


def new_files(folder: Path, name: str, parts: Iterable[str]) -> dict[str, Path]:
    """Make the folder of the files PART_NAME.json, by part.

    Raises CaptionerError if one of them already exists or the folder cannot be made.
    """
    files = {part: folder / f"{part}_{name}.json" for part in parts}
    for file in files.values():
        if file.exists():
            raise CaptionerError(f"{file} is already there; give another --name or --output")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CaptionerError(f"cannot write {folder}: {error.strerror}") from error
    return files


def write_json(content: Mapping[str, Any], file: Path) -> None:
    """Write a JSON file in one step; raises CaptionerError if it cannot be written."""
    text = json.dumps(content)
    atomic_write(file, lambda partial: partial.write_text(text, encoding="utf-8"))
