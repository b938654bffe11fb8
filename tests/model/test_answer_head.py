"""The answer head shares the captioner's attention; padding and order have no effect."""

import pytest
import torch

from captioner.config.settings import ModelConfig
from captioner.data.vocabulary import END, PADDING, Vocabulary
from captioner.errors import CaptionerError
from captioner.model.answer_head import AnswerHead
from captioner.model.attention import SpatialAttention
from captioner.model.captioning_model import CaptioningModel
from captioner.model.recurrence import make_cell
from captioner.training.losses import answer_loss, caption_loss, pair_loss

R, Q, B, N, D, A, H, E, ANSWERS = 5, 7, 3, 11, 6, 4, 13, 3, 17


def make_head(cell: str = "lstm", layers: int = 1, glimpses: int = 2) -> AnswerHead:
    torch.manual_seed(1)
    return AnswerHead(
        attention=SpatialAttention(query_size=H, feature_size=D, attention_size=A, heads=2),
        cell=make_cell(cell, hidden_size=H, layers=layers, dropout=0.3),
        vocabulary_size=23,
        answers=ANSWERS,
        feature_size=D,
        embedding_size=E,
        answer_size=19,
        glimpses=glimpses,
        embedding_dropout=0.1,
        answer_dropout=0.2,
    ).eval()


def questions() -> tuple[torch.Tensor, list[int], torch.Tensor, torch.Tensor]:
    lengths = [3, 7, 1, 4, 3]
    words = torch.randint(4, 23, (R, Q))
    for row, length in enumerate(lengths):
        words[row, length:] = PADDING
    # Three are about the last picture, in between two about the first; none about the second.
    return words, lengths, torch.tensor([2, 0, 0, 2, 2]), torch.randn(B, N, D)


@pytest.mark.parametrize(("cell", "layers"), [("rnn", 1), ("gru", 1), ("lstm", 2), ("highway", 1)])
def test_batched_questions_equal_one_by_one(cell: str, layers: int) -> None:
    head = make_head(cell, layers)
    words, lengths, pictures, features = questions()
    keys = head.attention.project(features)
    together = head(words, lengths, pictures, features, keys)
    assert together.logits.shape == (R, ANSWERS)
    assert together.weights.shape == (R, 2, N)
    torch.testing.assert_close(together.weights.sum(-1), torch.ones(R, 2))
    for row, length in enumerate(lengths):
        own = features[pictures[row]].unsqueeze(0)
        alone = head(
            words[row : row + 1, :length],
            [length],
            torch.tensor([0]),
            own,
            head.attention.project(own),
        )
        torch.testing.assert_close(alone.logits[0], together.logits[row])
        torch.testing.assert_close(alone.weights[0], together.weights[row])


def test_read_runs_the_cell_over_the_words() -> None:
    head = make_head("gru")
    words = torch.tensor([[5, 9, 4]])
    state = (torch.zeros(1, H),)
    for word in (5, 9, 4):
        embedded = head.embedding(torch.tensor([word]))
        state = head.cell(head.word_input(embedded), state)
    torch.testing.assert_close(head.read(words, [3]), state[0])
    swapped = head.read(torch.tensor([[9, 5, 4]]), [3])
    assert not torch.allclose(swapped, state[0])


def test_permuting_locations_permutes_the_maps_and_not_the_logits() -> None:
    head = make_head()
    words, lengths, pictures, features = questions()
    order = torch.randperm(N)
    plain = head(words, lengths, pictures, features, head.attention.project(features))
    moved = features[:, order]
    permuted = head(words, lengths, pictures, moved, head.attention.project(moved))
    torch.testing.assert_close(permuted.logits, plain.logits)
    torch.testing.assert_close(permuted.weights, plain.weights[..., order])


def test_logits_without_glimpses_do_not_depend_on_the_picture() -> None:
    words, lengths, pictures, features = questions()
    other = torch.randn(B, N, D)
    for glimpses in (0, 1):
        head = make_head(glimpses=glimpses)
        first, second = (
            head(words, lengths, pictures, grid, head.attention.project(grid))
            for grid in (features, other)
        )
        assert first.weights.shape == (R, glimpses, N)
        assert torch.equal(first.logits, second.logits) == (glimpses == 0)


def make_model() -> CaptioningModel:
    torch.manual_seed(2)
    config = ModelConfig(
        encoder_stage="features.3",
        image_size=33,
        feature_size=6,
        attention_size=4,
        attention_heads=2,
        embedding_size=5,
        hidden_size=7,
        answer_size=13,
    )
    words = Vocabulary(["a", "dog", "runs"])
    return CaptioningModel(config, words, Vocabulary(["is", "it", "red"]), ("no", "yes", "2"))


def test_both_losses_train_the_shared_attention() -> None:
    model = make_model().eval()
    assert model.decoder is not None and model.answers is not None
    assert model.decoder.attention is model.answers.attention
    features = torch.randn(2, 25, 6)

    def gradient(loss: torch.Tensor) -> list[torch.Tensor]:
        model.zero_grad()
        loss.backward()
        return [p.grad.clone() for p in model.decoder.attention.parameters()]

    tokens = torch.tensor([[1, 4, 5, END], [1, 5, 6, END]])
    forced = model.decoder(tokens, [3, 3], torch.tensor([0, 1]), features)
    captions = gradient(caption_loss(forced, label_smoothing=0.0, attention_penalty=0.0))
    answered = model.answers(
        torch.tensor([[4, 5, 6], [5, 6, 4], [6, 4, 5]]),
        [3, 3, 3],
        torch.tensor([1, 0, 1]),
        features,
        model.answers.attention.project(features),
    )
    answers = gradient(answer_loss(answered.logits, torch.eye(3), label_smoothing=0.0))
    assert len(captions) == 2
    assert all(gradient.abs().sum() > 0 for gradient in captions + answers)


def test_model_needs_at_least_one_task() -> None:
    config = make_model().config
    with pytest.raises(CaptionerError, match="captions to write or questions to answer"):
        CaptioningModel(config, None, None)
    only_answers = CaptioningModel(config, None, Vocabulary(["is"]), ("yes",))
    with pytest.raises(CaptionerError, match="answers questions but writes no captions"):
        only_answers.caption_parts()
    only_captions = CaptioningModel(config, Vocabulary(["a"]))
    with pytest.raises(CaptionerError, match="writes captions but has no answer head"):
        only_captions.answer_parts()


def test_answer_loss_by_hand() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]))
    targets = torch.tensor([[0.7, 0.2, 0.0], [0.0, 0.0, 1.0]])  # a tenth gave an unknown answer
    log = torch.log(torch.tensor([0.5, 0.25, 0.8]))
    expected = -(0.7 * log[0] + 0.2 * log[1] + log[2]) / 2
    torch.testing.assert_close(answer_loss(logits, targets, label_smoothing=0.0), expected)
    whole = torch.eye(3)[[0, 2]]
    torch.testing.assert_close(
        answer_loss(logits, whole, label_smoothing=0.3),
        torch.nn.functional.cross_entropy(logits, torch.tensor([0, 2]), label_smoothing=0.3),
    )


def test_pair_loss_by_hand() -> None:
    best = torch.tensor([0, 1, 0, 2, 1])
    pairs = torch.tensor([[0, 1], [1, 2]])
    logits = torch.tensor(
        [[2.0, 0.5, 9.0], [0.0, 1.0, 9.0], [1.0, 3.0, 9.0], [5.0, 5.0, 5.0], [1.0, 2.0, 3.0]]
    )
    first = (2.0 - 0.5) - (0.0 - 1.0)
    second = (1.0 - 0.0) - (3.0 - 1.0)
    expected = torch.tensor([-first, -second]).exp().log1p().mean()
    torch.testing.assert_close(pair_loss(logits, best, pairs), expected)
    # Adding the same to the logits of all questions with the same words changes nothing.
    biased = logits + torch.tensor([4.0, -3.0, 1.0]) * (torch.arange(5) < 3).unsqueeze(1)
    torch.testing.assert_close(pair_loss(biased, best, pairs), expected)
    assert pair_loss(logits, best, pairs[:, :0]) == 0
