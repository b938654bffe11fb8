"""Balance VQA question sets, so that the answers cannot be learned without the pictures."""

from collections import Counter
from pathlib import Path
from random import Random

from captioner.data.answer_text import normalise_list
from captioner.data.question_files import Id, QuestionRecord, read_question_file
from captioner.data.records import read_json
from captioner.data.vocabulary import split_words
from captioner.errors import CaptionerError
from captioner.questions.balanced_set import new_files, write_json


def balanced(records: list[QuestionRecord], seed: int) -> set[Id]:
    """Choose question ids so that every question text has each of its answers equally often.

    The answer is what most people gave, normalised. Texts with only one answer are left out, and
    the surplus questions of more frequent answers are dropped at random. VQA v2 asks each question
    of two pictures with opposite answers (Goyal et al. 2017), but a part of it holds only one of
    the two: memorising that answer is worse than guessing.
    """
    asked: dict[tuple[str, ...], dict[str, list[Id]]] = {}
    for record in records:
        answers = asked.setdefault(tuple(split_words(record.text)), {})
        [(answer, _)] = Counter(map(normalise_list, record.answers)).most_common(1)
        answers.setdefault(answer, []).append(record.question_id)
    random = Random(seed)
    kept: set[Id] = set()
    for answers in asked.values():
        if len(answers) > 1:
            fewest = min(map(len, answers.values()))
            for ids in answers.values():
                kept.update(random.sample(ids, fewest))
    return kept


def write_balanced(
    questions: Path, annotations: Path, folder: Path, name: str, seed: int
) -> tuple[int, int]:
    """Write the balanced part as questions_NAME.json and annotations_NAME.json.

    The rest of the files is copied unchanged. Returns the number of questions before and after.
    Raises CaptionerError for files that are not in VQA's format, if nothing would be left, and if a
    file already exists or cannot be written.
    """
    records = read_question_file(questions, annotations)
    kept = balanced(records, seed)
    if not kept:
        raise CaptionerError(
            f"{questions}: no question text has more than one answer; there is nothing to balance"
        )
    files = new_files(folder, name, ("questions", "annotations"))
    for part, source in (("questions", questions), ("annotations", annotations)):
        content = read_json(source)
        content[part] = [row for row in content[part] if row["question_id"] in kept]
        write_json(content, files[part])
    return len(records), len(kept)
