"""The reward of a sampled caption."""

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


def reward(text: str, picture: int, *, bleu_reward: float = 0.0, repeat_cost: float = 0.0) -> float:
    rewards = CaptionReward(CAPTIONS, VOCABULARY, bleu_reward=bleu_reward, repeat_cost=repeat_cost)
    (value,) = rewards([VOCABULARY.encode(text)], [picture])
    return float(value)


def test_plain_reward_is_cider_d_with_the_end_as_a_word() -> None:
    references = [[[*text.split(), "<end>"] for text in texts] for texts in CAPTIONS]
    candidates = [["a", "man", "stands", "<end>"]] * 5
    for picture, expected in enumerate(cider_d(candidates, references)):
        assert reward("a man stands", picture) == pytest.approx(expected)


def test_reference_itself_gets_the_whole_bleu_reward() -> None:
    text = "a woman stands"
    assert reward(text, 1, bleu_reward=0.5) - reward(text, 1) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("text", "picture", "repeats"),
    [
        ("a woman and a woman sit", 0, 0),  # a caption of the picture repeats it too
        ("a woman and a woman sit", 1, 1),
        ("a woman and a woman and a woman", 0, 1 + 1),  # a third woman, a second "and"
        ("a woman and a man sit", 1, 0),
        ("a dog on a dog", 1, 0),  # one in ten captions with "dog" repeats it
        ("a train on a train on a train", 1, 0 + 1),  # "on"; half of those with "train" repeat it
        ("a man on man sits on man", 1, 2 + 1),
    ],
)
def test_repeated_words_cost(text: str, picture: int, repeats: int) -> None:
    cost = reward(text, picture) - reward(text, picture, repeat_cost=0.4)
    assert cost == pytest.approx(0.4 * repeats)


def test_batched_rewards_equal_one_by_one() -> None:
    rewards = CaptionReward(CAPTIONS, VOCABULARY, bleu_reward=0.5, repeat_cost=0.4)
    texts, pictures = ["a woman and a woman", "a man stands", "a train stands"], [1, 1, 2]
    samples = [VOCABULARY.encode(text) for text in texts]
    alone = [rewards([samples[index]], [pictures[index]])[0] for index in range(3)]
    np.testing.assert_allclose(rewards(samples, pictures), alone)
