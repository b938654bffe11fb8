"""Question batches: all questions once an epoch, with their pictures, words and shares."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from captioner.config.settings import TrainingConfig
from captioner.data.images import open_picture, to_tensor
from captioner.data.picture_loading import PictureSource
from captioner.data.question_batches import LARGEST_GROUP, QuestionBatches, common_answers
from captioner.data.question_files import AskedQuestion
from captioner.data.vocabulary import PADDING, UNKNOWN, Vocabulary
from captioner.errors import CaptionerError

VOCABULARY = Vocabulary(["is", "it", "left", "red", "what"])
ANSWERS = ("no", "yes", "red")


def ask(path: Path, number: int, text: str, *answers: str) -> AskedQuestion:
    return AskedQuestion(number, path.name, path, text, answers, "what is", "other", False)


@pytest.fixture
def questions(tmp_path: Path) -> list[AskedQuestion]:
    asked = []
    for number in range(5):
        file = tmp_path / f"{number}.png"
        picture = Image.new("RGB", (40, 40), (50 * number, 90, 20))
        picture.paste((255, 255, 255), (0, 0, 20, 40))
        picture.save(file)
        asked += [
            ask(file, 10 * number, "Is it red?", "yes" if number % 2 else "no"),
            ask(file, 10 * number + 1, "What is it", *["red"] * 3, *["Yes."] * 2, "pink"),
        ]
    asked.append(ask(asked[0].path, 99, "Is it left?", "no"))
    return asked


def make(questions: list[AskedQuestion], **changes: object) -> QuestionBatches:
    chosen: dict[str, object] = {"questions_per_batch": 4, "workers": 0}
    config = TrainingConfig(**(chosen | changes))  # type: ignore[arg-type]
    paths = list(dict.fromkeys(question.path for question in questions))
    source = PictureSource(paths, config, image_size=40, cache=None)
    return QuestionBatches(questions, VOCABULARY, ANSWERS, config, source)


@pytest.mark.parametrize("pair_weight", [0.0, 1.0])
def test_every_question_once_with_its_picture_words_and_shares(
    questions: list[AskedQuestion], pair_weight: float
) -> None:
    batches = make(questions, mirror=False, pair_weight=pair_weight)
    epoch = list(batches.epoch(2))
    assert len(batches) == len(epoch) == 3
    assert sorted(i for batch in epoch for i in batch.indices) == list(range(11))
    for batch in epoch:
        assert len(batch.views.pictures) == len({questions[i].path for i in batch.indices})
        for place, index in enumerate(batch.indices):
            question = questions[index]
            pixels = to_tensor(open_picture(question.path), 40)
            assert torch.equal(batch.views.pictures[batch.rows[place]], pixels)
            length = batch.lengths[place]
            written = [VOCABULARY.words[word] for word in batch.words[place, :length].tolist()]
            assert written == question.text.lower().strip("?").split()
            assert set(batch.words[place, length:].tolist()) <= {PADDING}
            shares = dict(zip(ANSWERS, batch.targets[place].tolist(), strict=True))
            if len(question.answers) == 1:
                assert shares == {a: float(a == question.answers[0]) for a in ANSWERS}
            else:  # one person's pink cannot be given
                assert shares == pytest.approx({"no": 0, "yes": 2 / 6, "red": 3 / 6})


def test_seed_and_epoch_decide_and_an_epoch_can_be_resumed(questions: list[AskedQuestion]) -> None:
    whole = list(make(questions).epoch(3))
    rest = list(make(questions).epoch(3, first=1))
    assert [b.indices for b in whole[1:]] == [b.indices for b in rest]
    for one, other in zip(whole[1:], rest, strict=True):
        assert torch.equal(one.views.pictures, other.views.pictures)
    assert [b.indices for b in make(questions).epoch(4)] != [b.indices for b in whole]
    assert [b.indices for b in make(questions, seed=5).epoch(3)] != [b.indices for b in whole]


def test_a_question_about_the_left_side_is_not_asked_of_the_mirror_image(
    questions: list[AskedQuestion],
) -> None:
    batches = make(questions, questions_per_batch=1)
    turned = {index: 0 for index in range(11)}
    for epoch in range(30):
        for batch in batches.epoch(epoch):
            [index] = batch.indices
            plain = to_tensor(open_picture(questions[index].path), 40)
            turned[index] += torch.equal(batch.views.pictures[0], plain.flip(2))
    assert turned.pop(10) == 0
    assert 110 <= sum(turned.values()) <= 190  # of 300 fair coins


def test_with_a_pair_weight_equal_wordings_come_in_groups_of_limited_size(
    questions: list[AskedQuestion],
) -> None:
    path = questions[0].path
    many = [ask(path, number, f"Is it {number % 32}?") for number in range(64)]  # 32 pairs
    many += [ask(path, number, "What is it?") for number in range(64, 64 + 6 * LARGEST_GROUP)]

    def order(pair_weight: float) -> list[int]:
        batches = make(many, pair_weight=pair_weight, questions_per_batch=len(many))
        return [index for batch in batches.epoch(0) for index in batch.indices]

    def neighbours(indices: list[int]) -> int:
        places = {index: place for place, index in enumerate(indices)}
        return sum(abs(places[one] - places[one + 32]) == 1 for one in range(32))

    assert neighbours(order(1.0)) == 32
    assert neighbours(order(0.0)) < 8
    # The large wording is dealt out in groups among the others, not all in one place.
    places = [place for place, index in enumerate(order(1.0)) if index >= 64]
    assert max(places) - min(places) > 6 * LARGEST_GROUP


def test_pairs_are_of_equal_words_and_different_answers_that_can_be_given(
    questions: list[AskedQuestion],
) -> None:
    path = questions[0].path
    batches = make(
        [
            ask(path, 1, "Is it red?", "yes", "yes", "no"),
            ask(path, 2, "what is it", "yes"),
            ask(path, 3, "is it red", "no", "red"),  # as many: the first of ANSWERS
            ask(path, 4, "is it red?", "pink"),  # cannot be given
            ask(path, 5, "is it red?", "yes"),
        ]
    )
    best, pairs = batches.pairs([4, 2, 0, 3, 1])
    assert best.tolist() == [ANSWERS.index(a) for a in ("yes", "no", "yes", "no", "yes")]
    assert pairs.t().tolist() == [[0, 1], [1, 2]]


def test_unknown_words_and_questions_without_words(questions: list[AskedQuestion]) -> None:
    batches = make([ask(questions[0].path, 1, "pourquoi red"), ask(questions[0].path, 2, "?!")])
    assert batches.words == [[UNKNOWN, VOCABULARY.words.index("red")], [UNKNOWN]]


def test_common_answers_are_counted_normalised_and_the_most_frequent_kept() -> None:
    path = Path("a.jpg")
    asked = [
        ask(path, 1, "what", "A dog.", "dog", "two"),
        ask(path, 2, "what", "2"),
        ask(path, 3, "what", "cat"),
    ]
    assert common_answers(asked, 3) == ("2", "dog", "cat")
    assert common_answers(asked, 1) == ("2",)
    with pytest.raises(CaptionerError, match="have no answers"):
        common_answers([ask(path, 1, "what")], 3)
