"""What a sampled caption is worth."""

import numpy as np
import pytest

from captioner.data.vocabulary import Vocabulary
from captioner.metrics.cider import cider_d
from captioner.training.rewards import CaptionReward

CAPTIONS = [
    ["a woman and a woman sit", "a woman sits"],
    ["a woman stands", "a man stands"],
    ["a train on train tracks", "a train stands"],
    20 * ["a woman waits for a bus"],  # so that less than one in twenty repeats "woman"
    [*9 * ["a dog runs"], "a dog and a dog"],
]
VOCABULARY = Vocabulary.build([text for texts in CAPTIONS for text in texts], min_count=1)


def worth(
    text: str,
    picture: int,
    *,
    bleu_reward: float = 0.0,
    repeat_cost: float = 0.0,
) -> float:
    reward = CaptionReward(CAPTIONS, VOCABULARY, bleu_reward=bleu_reward, repeat_cost=repeat_cost)
    (value,) = reward([VOCABULARY.encode(text)], [picture])
    return float(value)


def test_without_shares_it_is_cider_d_with_the_end_counted_as_a_word() -> None:
    references = [[[*text.split(), "<end>"] for text in texts] for texts in CAPTIONS]
    candidates = [["a", "man", "stands", "<end>"]] * 5
    for picture, expected in enumerate(cider_d(candidates, references)):
        assert worth("a man stands", picture) == pytest.approx(expected)


def test_a_captions_own_reference_has_the_whole_bleu_reward() -> None:
    text = "a woman stands"
    assert worth(text, 1, bleu_reward=0.5) - worth(text, 1) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("text", "picture", "times"),
    [
        ("a woman and a woman sit", 0, 0),  # so says one of the picture's captions
        ("a woman and a woman sit", 1, 1),
        ("a woman and a woman and a woman", 0, 1 + 1),  # a third woman, a second "and"
        ("a woman and a man sit", 1, 0),
        ("a dog on a dog", 1, 0),  # one in ten that say dog say it twice
        ("a train on a train on a train", 1, 0 + 1),  # on; of train, half say it twice
        ("a man on man sits on man", 1, 2 + 1),
    ],
)
def test_a_word_said_again_out_of_place_costs(text: str, picture: int, times: int) -> None:
    cost = worth(text, picture) - worth(text, picture, repeat_cost=0.4)
    assert cost == pytest.approx(0.4 * times)


def test_rewards_come_in_the_order_of_the_samples() -> None:
    reward = CaptionReward(CAPTIONS, VOCABULARY, bleu_reward=0.5, repeat_cost=0.4)
    texts = ["a woman and a woman", "a man stands", "a train stands"]
    samples = [VOCABULARY.encode(text) for text in texts]
    together = reward(samples, [1, 1, 2])
    alone = [reward([one], [picture])[0] for one, picture in zip(samples, [1, 1, 2], strict=True)]
    np.testing.assert_allclose(together, alone)
