"""The encoder: torchvision's own features, frozen and fine-tuned as said."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import get_model

from captioner.encoder import Encoder, load_weights
from captioner.errors import CaptionerError


def make_encoder(backbone: str = "mobilenet_v2", last_stage: str = "", size: int = 97) -> Encoder:
    torch.manual_seed(0)
    return Encoder(
        backbone=backbone,
        last_stage=last_stage,
        image_size=size,
        feature_size=6,
        feature_dropout=0.0,
    )


@pytest.mark.parametrize(
    "backbone",
    ["resnet18", "vgg11", "mobilenet_v3_small", "efficientnet_b0", "convnext_tiny", "swin_t"],
)
def test_any_backbone_gives_the_grid_that_its_own_pooling_sees(backbone: str) -> None:
    encoder = make_encoder(backbone)
    original = get_model(backbone, weights=None).eval()
    load_state = original.state_dict()
    names = dict(zip(encoder.stage_names, encoder.stages, strict=True))
    for name, stage in names.items():
        stage.load_state_dict(
            {
                key.removeprefix(name + "."): value
                for key, value in load_state.items()
                if key.startswith(name + ".")
            }
        )
    seen = []
    original.avgpool.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    pictures = torch.randn(2, 3, 97, 97)
    with torch.no_grad():
        original(pictures)
        maps = encoder.trunk(pictures)
    torch.testing.assert_close(maps.permute(0, 3, 1, 2), seen[0], rtol=1e-3, atol=1e-4)
    assert encoder.grid == tuple(seen[0].shape[2:])


def test_features_are_row_by_row_and_independent_between_pictures() -> None:
    encoder = make_encoder(size=130).eval()
    rows, columns = encoder.grid
    assert (rows, columns) == (5, 5)
    pictures = torch.randn(3, 3, 130, 130)
    features = encoder(pictures)
    assert features.shape == (3, 25, 6)
    torch.testing.assert_close(encoder(pictures[1:2])[0], features[1], rtol=1e-3, atol=1e-4)
    maps = encoder.trunk(pictures)
    corner = encoder.adapter(maps[:, 1, 2]) + encoder.positions[1 * columns + 2]
    torch.testing.assert_close(features[:, 1 * columns + 2], corner)


def test_a_stage_cuts_the_backbone() -> None:
    encoder = make_encoder(last_stage="features.6")
    assert encoder.stage_names[-1] == "features.6"
    assert encoder.grid == (13, 13)  # 97 pixels at stride 8
    with pytest.raises(CaptionerError, match="no stage 'features.99'; its stages are features.0"):
        make_encoder(last_stage="features.99")


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ("resnet1", "not a torchvision classification backbone; choose one of alexnet"),
        ("vit_b_16", "cannot be run stage by stage"),
    ],
)
def test_backbones_that_cannot_serve(backbone: str, message: str) -> None:
    with pytest.raises(CaptionerError, match=message):
        make_encoder(backbone)


def statistics(encoder: Encoder) -> dict[str, torch.Tensor]:
    return {
        name: value.clone() for name, value in encoder.stages.named_buffers() if "running" in name
    }


def test_frozen_stages_move_neither_weights_nor_statistics() -> None:
    encoder = make_encoder().train()
    before = statistics(encoder)
    encoder(torch.randn(4, 3, 97, 97)).sum().backward()
    assert all(parameter.grad is None for parameter in encoder.stages.parameters())
    assert encoder.positions.grad is not None
    for name, value in statistics(encoder).items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize("update_batch_norm", [False, True])
def test_fine_tuning_starts_at_its_stage(update_batch_norm: bool) -> None:
    encoder = make_encoder()
    encoder.fine_tune("features.17", update_batch_norm=update_batch_norm)
    encoder.train()
    before = statistics(encoder)
    encoder(torch.randn(4, 3, 97, 97)).sum().backward()
    moved = set()
    for name, value in statistics(encoder).items():
        if not torch.equal(value, before[name]):
            moved.add(int(name.split(".")[0]))
    assert moved == ({17, 18} if update_batch_norm else set())
    trained = {
        int(name.split(".")[0])
        for name, parameter in encoder.stages.named_parameters()
        if parameter.grad is not None
    }
    assert trained == {17, 18}


def test_weights_from_a_torchvision_state_dict_even_in_half_precision(tmp_path: Path) -> None:
    source = get_model("mobilenet_v2", weights=None)
    half = {name: value.half() for name, value in source.state_dict().items()}
    encoder = make_encoder()
    for file in (tmp_path / "weights.pth", tmp_path / "weights.safetensors"):
        if file.suffix == ".pth":
            torch.save(half, file)
        else:
            save_file(half, file)
        encoder = make_encoder()
        load_weights(encoder, str(file))
        expected = source.features[18][0].weight.half().float()
        torch.testing.assert_close(encoder.stages[18][0].weight, expected)


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    encoder = make_encoder()
    file = tmp_path / "weights.safetensors"
    save_file(get_model("resnet18", weights=None).state_dict(), file)
    with pytest.raises(
        CaptionerError, match="weights do not fit mobilenet_v2: .* first 0.0.weight"
    ):
        load_weights(encoder, str(file))
    with pytest.raises(CaptionerError, match="cannot read encoder weights"):
        load_weights(encoder, str(tmp_path / "absent.pth"))
    text = tmp_path / "text.pth"
    text.write_text("not weights")
    with pytest.raises(CaptionerError, match="not a state dict that can be read safely"):
        load_weights(encoder, str(text))
