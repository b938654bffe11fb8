"""Learning rates and the running average, worked by hand."""

import math

import pytest
import torch

from captioner.config.settings import ModelConfig, TrainingConfig
from captioner.data.vocabulary import Vocabulary
from captioner.model.captioning_model import CaptioningModel
from captioner.training.optimizer import make_optimizer, set_learning_rates, update_average


def make_model() -> CaptioningModel:
    config = ModelConfig(
        encoder_stage="features.2",
        image_size=33,
        feature_size=4,
        attention_size=4,
        attention_heads=1,
        embedding_size=3,
        hidden_size=5,
    )
    return CaptioningModel(config, Vocabulary(["a", "b"]))


def test_each_trained_weight_is_in_one_group_with_its_decay() -> None:
    model = make_model()
    model.encoder.fine_tune("features.1", update_batch_norm=False)
    config = TrainingConfig(learning_rate=0.5, encoder_learning_rate=0.25, weight_decay=0.1)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    seen: dict[str, tuple[float, float]] = {}
    for group in make_optimizer(model, config).param_groups:
        for parameter in group["params"]:
            assert names[id(parameter)] not in seen
            seen[names[id(parameter)]] = (group["peak"], group["weight_decay"])
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert set(seen) == trained
    assert not any(name.startswith("encoder.stages.0") for name in seen)
    assert seen["decoder.cell.hidden_gates.weight"] == (0.5, 0.1)
    assert seen["decoder.word_input.bias"] == (0.5, 0.0)
    assert seen["decoder.embedding.weight"] == (0.5, 0.0)
    assert seen["encoder.positions"] == (0.5, 0.0)
    assert seen["encoder.stages.1.conv.0.0.weight"] == (0.25, 0.1)
    assert seen["encoder.stages.1.conv.0.1.weight"] == (0.25, 0.0)


@pytest.mark.parametrize(
    ("step", "share"),
    [
        (0, 1 / 4),  # the first of four warm-up steps
        (3, 1.0),
        (4, 1.0),
        (10, 0.5 * (1 + math.cos(math.pi / 2))),  # half-way from step 4 to step 16
        (16, 0.0),
    ],
)
def test_warm_up_then_cosine(step: int, share: float) -> None:
    model = make_model()
    config = TrainingConfig(learning_rate=0.2, warm_up_steps=4)
    optimizer = make_optimizer(model, config)
    set_learning_rates(optimizer, config, step, total=16)
    for group in optimizer.param_groups:
        assert group["lr"] == pytest.approx(0.2 * share)


def test_short_run_still_reaches_the_peak_and_zero() -> None:
    model = make_model()
    config = TrainingConfig(learning_rate=0.2, warm_up_steps=200)
    optimizer = make_optimizer(model, config)
    rates = []
    for step in range(61):
        set_learning_rates(optimizer, config, step, total=60)
        rates.append(optimizer.param_groups[0]["lr"])
    assert max(rates) == rates[14] == pytest.approx(0.2)  # the fifteenth of sixty
    assert rates[60] == pytest.approx(0)


def test_running_average_and_its_smaller_decay_at_first() -> None:
    average, model = make_model(), make_model()
    with torch.no_grad():
        average.decoder.output_bias.fill_(1.0)
        model.decoder.output_bias.fill_(3.0)
    update_average(average, model, decay=0.9, step=10_000)
    torch.testing.assert_close(average.decoder.output_bias, torch.full((6,), 1.2))
    # In the first steps the decay is at most (1 + step) / (10 + step), here 9 / 18 = 0.5.
    update_average(average, model, decay=0.999, step=8)
    torch.testing.assert_close(average.decoder.output_bias, torch.full((6,), 2.1))


def test_frozen_weights_are_the_same_in_the_average_and_not_computed_anew() -> None:
    model, average = make_model(), make_model()
    model.encoder.fine_tune("features.1", update_batch_norm=False)
    frozen, trained = (stage.state_dict() for stage in average.encoder.stages[:2])
    kept = next(iter(frozen.values())).clone()
    moved = next(iter(trained.values())).clone()
    with torch.no_grad():
        update_average(average, model, decay=0.5, step=100)
    assert torch.equal(next(iter(frozen.values())), kept)
    assert not torch.equal(next(iter(trained.values())), moved)
