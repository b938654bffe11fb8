"""Reads questions about pictures with people's answers: VQA v2's two files, or LAVIS's list."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from captioner.data.picture_files import find_pictures, report_missing, require_pictures
from captioner.data.records import first_three, read_json, shown
from captioner.data.vocabulary import split_words
from captioner.errors import CaptionerError

QUESTIONS_FORM = '{"questions": [{"question_id", "image_id", "question"}]}'
ANNOTATIONS_FORM = '{"annotations": [{"question_id", "image_id", "answers": [{"answer"}]}]}'

Id = int | str


@dataclass(frozen=True)
class QuestionRecord:
    """A question as its files hold it; AskedQuestion says what the fields are."""

    question_id: Id
    image_id: Id
    text: str
    answers: tuple[str, ...]
    question_type: str
    answer_type: str
    made: bool


@dataclass(frozen=True)
class AskedQuestion:
    """A question about a picture on disk.

    answers: as people gave them, ten or one; none without annotations, and then both types are
    empty. made: the file says that its questions were generated, as from captions.
    """

    question_id: Id
    image_id: Id
    path: Path
    text: str
    answers: tuple[str, ...]
    question_type: str
    answer_type: str
    made: bool


@dataclass(frozen=True)
class _Annotation:
    image_id: Id
    answers: tuple[str, ...]
    question_type: str
    answer_type: str


def read_questions(
    questions: Path,
    annotations: Path | None,
    images: Sequence[Path],
    image_names: Path | None = None,
    *,
    skip_missing: bool = False,
) -> list[AskedQuestion]:
    """Read every question of a file with its answers and its picture, in the file's order.

    annotations: the file of the answers; None where there are none, or where the questions' file
    is LAVIS's list, which holds both.

    Pictures are looked for in the folders `images`, in order: under the names that `image_names`,
    a JSON map from image id to file name, gives them; without it as COCO names them,
    `COCO_val2014_000000000042.jpg` after the file's data_subtype or `000000000042.jpg`, or as
    `42.jpg`, each also as .png. skip_missing: leave out questions about pictures that are not
    there, up to a tenth of the pictures. Raises what read_question_file does, and CaptionerError
    where a folder is not there or a picture is not found.
    """
    content = _read(questions, "questions", QUESTIONS_FORM)
    records = _records(content, questions, annotations)
    ids = list(dict.fromkeys(record.image_id for record in records))
    if image_names is None:
        paths = _find_by_id(
            ids, content.get("data_subtype"), questions, images, skip_missing=skip_missing
        )
    else:
        names = _read_names(image_names, ids)
        found = require_pictures(
            list(names.values()), images, image_names, skip_missing=skip_missing
        )
        paths = {image_id: found[name] for image_id, name in names.items() if name in found}
    return [
        AskedQuestion(
            question_id=record.question_id,
            image_id=record.image_id,
            path=paths[record.image_id],
            text=record.text,
            answers=record.answers,
            question_type=record.question_type,
            answer_type=record.answer_type,
            made=record.made,
        )
        for record in records
        if record.image_id in paths
    ]


def read_question_file(questions: Path, annotations: Path | None = None) -> list[QuestionRecord]:
    """Read questions and, where a file has them, their answers, without looking for pictures.

    Raises CaptionerError, naming the file, where one is in neither form, two questions have the
    same id, a question has no word, an annotation has no answer, or the two files are not for the
    same questions and pictures.
    """
    return _records(_read(questions, "questions", QUESTIONS_FORM), questions, annotations)


def _records(
    content: dict[str, Any], questions: Path, annotations: Path | None
) -> list[QuestionRecord]:
    asked: dict[Id, QuestionRecord] = {}
    made = content.get("made") is True
    for number, record in enumerate(content["questions"], start=1):
        question_id, image_id = _ids(record, number, questions, QUESTIONS_FORM)
        text = record.get("question")
        if not isinstance(text, str) or not split_words(text):
            raise CaptionerError(
                f"{questions}: question {question_id!r} has no words ({shown(text)}); "
                "give its text or remove it"
            )
        _require_new_id(question_id, asked, questions)
        asked[question_id] = QuestionRecord(question_id, image_id, text.strip(), (), "", "", made)
    if not asked:
        raise CaptionerError(f"{questions} has no questions; expected at least one")
    if annotations is None and "annotations" not in content:
        return list(asked.values())
    if annotations is None:
        annotations, answers = questions, content
    else:
        answers = _read(annotations, "annotations", ANNOTATIONS_FORM)
    answered = _annotations(answers, annotations)
    answered = _with_ids_of(asked, answered)
    _require_same_questions(asked, answered, questions, annotations)
    for question_id, annotation in answered.items():
        asked[question_id] = replace(
            asked[question_id],
            answers=annotation.answers,
            question_type=annotation.question_type,
            answer_type=annotation.answer_type,
        )
    return list(asked.values())


def _annotations(content: dict[str, Any], file: Path) -> dict[Id, _Annotation]:
    annotations: dict[Id, _Annotation] = {}
    for number, record in enumerate(content["annotations"], start=1):
        question_id, image_id = _ids(record, number, file, ANNOTATIONS_FORM)
        _require_new_id(question_id, annotations, file)
        annotations[question_id] = _Annotation(
            image_id,
            _answers(record, question_id, file),
            _type(record, "question_type"),
            _type(record, "answer_type"),
        )
    return annotations


def _read(file: Path, wanted: str, form: str) -> dict[str, Any]:
    """The content of a questions or an annotations file.

    Raises CaptionerError that says what kind of file it is instead.
    """
    content = _from_list(read_json(file))
    if isinstance(content, dict) and isinstance(content.get(wanted), list):
        first = content[wanted][0] if content[wanted] else {}
        if not (isinstance(first, dict) and "caption" in first):
            return content
    raise CaptionerError(f"{file} {_kind(content)}; expected {wanted}: {form}")


def _from_list(content: Any) -> Any:
    """LAVIS's list of questions with image, question and answer, as VQA v2's two files in one."""
    first = content[0] if isinstance(content, list) and content else None
    if not (isinstance(first, dict) and "question" in first and "image" in first):
        return content
    questions, annotations = [], []
    for record in content:
        of_image = {"image_id": record.get("image")} if isinstance(record, dict) else {}
        questions.append({**record, **of_image} if of_image else record)
        if of_image and "answer" in record:
            answers = record["answer"]
            annotations.append(
                {
                    "question_id": record.get("question_id"),
                    "answers": answers if isinstance(answers, list) else [answers],
                    **of_image,
                }
            )
    return {"questions": questions} | ({"annotations": annotations} if annotations else {})


def _kind(content: Any) -> str:
    if isinstance(content, list):
        return "is a list, as results are"
    if not isinstance(content, dict):
        return "holds no record"
    if isinstance(content.get("questions"), list):
        return "is a file of questions"
    records = content.get("annotations")
    first = records[0] if isinstance(records, list) and records else {}
    if isinstance(first, dict) and "caption" in first:
        return "is a file of captions"
    if isinstance(first, dict) and "question_id" in first:
        return "is a file of annotations, the answers to questions"
    if isinstance(content.get("images"), list):
        return "is a file of pictures or captions"
    return "is not in the form of VQA v2"


def _ids(record: Any, number: int, file: Path, form: str) -> tuple[Id, Id]:
    ids = []
    for name in ("question_id", "image_id"):
        if not isinstance(record, dict) or not isinstance(record.get(name), int | str):
            raise CaptionerError(f"{file}: record {number} has no valid {name}; expected {form}")
        ids.append(record[name])
    return ids[0], ids[1]


def _answers(record: dict[str, Any], question_id: Id, file: Path) -> tuple[str, ...]:
    given = record.get("answers")
    answers: list[str] = []
    for answer in given if isinstance(given, list) else []:
        text = answer.get("answer") if isinstance(answer, dict) else answer
        if not isinstance(text, str):
            raise CaptionerError(
                f"{file}: {shown(answer)} as an answer to question {question_id!r}; expected a "
                'text or {"answer": a text}'
            )
        answers.append(text)
    if not any(answer.strip() for answer in answers):
        raise CaptionerError(
            f"{file}: no answer to question {question_id!r}; expected {ANNOTATIONS_FORM}"
        )
    return tuple(answers)


def _type(record: dict[str, Any], name: str) -> str:
    given = record.get(name)
    return str(given) if given and isinstance(given, str | int | float) else ""


def _require_new_id(question_id: Id, seen: Mapping[Id, object], file: Path) -> None:
    if question_id in seen:
        raise CaptionerError(
            f"{file}: two questions have the id {question_id!r}; give each its own"
        )


def _with_ids_of(
    asked: Mapping[Id, QuestionRecord], answered: Mapping[Id, _Annotation]
) -> dict[Id, _Annotation]:
    """The annotations with the ids of the questions: a number may be a text in one of the files."""
    ids = {str(key): key for key in asked}
    images = {str(question.image_id): question.image_id for question in asked.values()}
    renamed = {
        (key if key in asked else ids.get(str(key), key)): replace(
            annotation, image_id=images.get(str(annotation.image_id), annotation.image_id)
        )
        for key, annotation in answered.items()
    }
    # Where 1 and "1" are two annotations of one question, the check of both files says so.
    return renamed if len(renamed) == len(answered) else dict(answered)


def _require_same_questions(
    asked: Mapping[Id, QuestionRecord],
    answered: Mapping[Id, _Annotation],
    questions: Path,
    annotations: Path,
) -> None:
    for first, second, file, lacking in (
        (asked, answered, questions, f"questions have no annotation in {annotations}"),
        (answered, asked, annotations, f"annotations have no question in {questions}"),
    ):
        alone = [key for key in first if key not in second]
        if alone:
            raise CaptionerError(f"{file}: {len(alone):,} {lacking}: {first_three(alone)}")
    moved = [key for key in asked if asked[key].image_id != answered[key].image_id]
    if moved:
        raise CaptionerError(
            f"{annotations}: {len(moved):,} questions are about another picture than in "
            f"{questions}: {first_three(moved)}"
        )


def _find_by_id(
    ids: Sequence[Id],
    subtype: object,
    questions: Path,
    images: Sequence[Path],
    *,
    skip_missing: bool,
) -> dict[Id, Path]:
    names = {image_id: _names(image_id, subtype) for image_id in ids}
    paths: dict[Id, Path] = {}
    for form in range(max(map(len, names.values()))):  # most sets need only the first
        left = {
            key: forms[form] for key, forms in names.items() if key not in paths and forms[form:]
        }
        found = find_pictures(left.values(), images).paths
        paths |= {key: found[name] for key, name in left.items() if name in found}
    missing = [image_id for image_id in ids if image_id not in paths]
    if missing:
        folders = ", ".join(str(folder) for folder in images) or "no folder"
        report_missing(
            f"{questions}: {len(missing):,} image ids have no picture in {folders}: "
            f"{first_three(missing)}; looked for names such as {names[missing[0]][0]}; "
            "a JSON map from image id to file name can give others",
            len(missing) / len(ids),
            skip_missing=skip_missing,
        )
    return paths


def _names(image_id: Id, subtype: object) -> list[str]:
    """What a picture may be called, the likeliest first."""
    if isinstance(image_id, str) and not (image_id.isdecimal() and len(image_id) < 20):
        return [image_id, f"{image_id}.jpg", f"{image_id}.png"]
    stems = [f"{int(image_id):012d}", f"{image_id}"]
    if isinstance(subtype, str):
        stems.insert(0, f"COCO_{subtype}_{stems[0]}")
    return [stem + ending for stem in stems for ending in (".jpg", ".png")]


def _read_names(file: Path, ids: Sequence[Id]) -> dict[Id, str]:
    names = read_json(file)
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise CaptionerError(
            f"{file} does not name pictures; expected a JSON map from image id to file name, "
            'such as {"11": "image11.jpg"}'
        )
    missing = [image_id for image_id in ids if str(image_id) not in names]
    if missing:
        raise CaptionerError(
            f"{file}: {len(missing):,} image ids of the questions have no file name: "
            f"{first_three(missing)}"
        )
    return {image_id: names[str(image_id)] for image_id in ids}
