"""The encoder: torchvision's own features, frozen and fine-tuned as said."""

import hashlib
import io
import re
from http.client import BadStatusLine
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import get_model

from captioner.errors import CaptionerError
from captioner.model.encoder import _PIXELS_AT_ONCE, Encoder
from captioner.model.pretrained import load_weights


def make_encoder(backbone: str = "mobilenet_v2", last_stage: str = "", size: int = 97) -> Encoder:
    torch.manual_seed(0)
    return Encoder(
        backbone=backbone,
        last_stage=last_stage,
        image_size=size,
        feature_size=6,
        feature_dropout=0.0,
    )


def compare(backbone: str, layer: str, last_stage: str, folder: Path) -> tuple[Tensor, Tensor]:
    """What a layer of torchvision's model is given, and the encoder's maps, both channels first."""
    encoder = make_encoder(backbone, last_stage)
    original = get_model(backbone, weights=None).eval()
    state = original.state_dict()
    kept = {name: value for name, value in state.items() if not name.startswith("classifier")}
    save_file(kept, folder / "weights.safetensors")
    load_weights(encoder, str(folder / "weights.safetensors"))
    seen = []
    modules = dict(original.named_modules())
    modules[layer].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    pictures = torch.randn(2, 3, 97, 97)
    with torch.no_grad():
        original(pictures)
        maps = encoder.trunk(pictures).permute(0, 3, 1, 2)
    assert encoder.grid == tuple(maps.shape[2:])
    return seen[0], maps


@pytest.mark.parametrize(
    ("backbone", "layer"),
    [
        ("resnet18", "avgpool"),
        ("vgg11", "avgpool"),
        ("mobilenet_v3_small", "avgpool"),
        ("efficientnet_b0", "avgpool"),
        ("convnext_tiny", "avgpool"),
        ("swin_t", "avgpool"),
        ("regnet_y_400mf", "avgpool"),
        ("squeezenet1_0", "classifier"),  # pools behind its classifier
    ],
)
def test_any_backbone_gives_the_grid_that_its_own_pooling_sees(
    backbone: str, layer: str, tmp_path: Path
) -> None:
    seen, maps = compare(backbone, layer, "", tmp_path)
    torch.testing.assert_close(maps, seen, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("backbone", "layer"),
    [
        ("densenet121", "classifier"),
        ("mnasnet0_5", "classifier"),
        ("mobilenet_v2", "classifier"),
        ("shufflenet_v2_x0_5", "fc"),
    ],
)
def test_where_the_pooling_is_no_module_its_classifier_sees_the_mean_of_the_grid(
    backbone: str, layer: str, tmp_path: Path
) -> None:
    seen, maps = compare(backbone, layer, "", tmp_path)
    torch.testing.assert_close(maps.mean((2, 3)), seen, rtol=1e-3, atol=1e-4)


def test_a_cut_swin_still_has_its_channels_where_they_belong(tmp_path: Path) -> None:
    seen, maps = compare("swin_t", "features.3", "features.2", tmp_path)
    torch.testing.assert_close(maps, seen.permute(0, 3, 1, 2), rtol=1e-3, atol=1e-4)


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
        ("resnet1", "not a supported classification backbone; choose one of alexnet"),
        ("googlenet", "not a supported classification backbone"),
        ("inception_v3", "not a supported classification backbone"),
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


def test_densenet_weights_under_the_names_that_torchvision_stores(tmp_path: Path) -> None:
    state = get_model("densenet121", weights=None).state_dict()
    stored = {re.sub(r"(denselayer\d+\.\D+)(\d)", r"\1.\2", name): v for name, v in state.items()}
    assert "features.denseblock1.denselayer1.norm.2.weight" in stored
    save_file(stored, tmp_path / "weights.safetensors")
    encoder = make_encoder("densenet121", last_stage="features.denseblock1")
    load_weights(encoder, str(tmp_path / "weights.safetensors"))
    name = "features.denseblock1.denselayer6.conv2.weight"
    torch.testing.assert_close(encoder.stages[4].denselayer6.conv2.weight, state[name])


@pytest.mark.parametrize(
    "error",
    [
        OSError("no route to host"),
        BadStatusLine("garbled"),
        RuntimeError("invalid hash value"),
    ],
)
def test_a_download_that_fails_is_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", fail)
    with pytest.raises(CaptionerError, match=f"mobilenet_v2 cannot be downloaded .*{error}"):
        load_weights(make_encoder(), "torchvision")


class _Planted:
    """Unpickled as code, it writes a file."""

    def __init__(self, written: Path) -> None:
        self.written = written

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.written), "w")


def place_download(
    content: object, folder: Path, monkeypatch: pytest.MonkeyPatch, checksum: str = ""
) -> None:
    """Put this where torchvision's download would lie, under its checksum or this other one."""
    pickled = io.BytesIO()
    torch.save(content, pickled)
    own = hashlib.sha256(pickled.getvalue()).hexdigest()[:8]
    name = f"mobilenet_v2-{checksum or own}.pth"
    (folder / "hub" / "checkpoints").mkdir(parents=True)
    (folder / "hub" / "checkpoints" / name).write_bytes(pickled.getvalue())
    published = SimpleNamespace(DEFAULT=SimpleNamespace(url=f"https://example.org/models/{name}"))
    monkeypatch.setattr("torchvision.models.get_model_weights", lambda backbone: published)
    monkeypatch.setenv("TORCH_HOME", str(folder))


def test_a_download_that_is_there_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = get_model("mobilenet_v2", weights=None)
    place_download(original.state_dict(), tmp_path, monkeypatch)
    encoder = make_encoder()
    load_weights(encoder, "torchvision")
    assert torch.equal(
        next(encoder.stages.parameters()), original.state_dict()["features.0.0.weight"]
    )


@pytest.mark.parametrize(
    ("checksum", "message"),
    [
        ("7ebf99e0", "damaged or not torchvision's.*delete it"),
        ("", "not a state dict that can be read safely"),
    ],
)
def test_code_planted_among_the_downloads_never_runs(
    checksum: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = tmp_path / "written"
    place_download({"features.0.0.weight": _Planted(written)}, tmp_path, monkeypatch, checksum)
    with pytest.raises(CaptionerError, match=message):
        load_weights(make_encoder(), "torchvision")
    assert not written.exists()


@pytest.mark.parametrize(("backbone", "left"), [("mobilenet_v2", 0), ("resnet18", 1)])
def test_folded_batch_norms_leave_the_features_as_they_are(backbone: str, left: int) -> None:
    encoder = make_encoder(backbone).eval()
    norms = [module for module in encoder.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.running_mean.normal_(0, 0.1)
        norm.running_var.uniform_(0.5, 2)
        nn.init.normal_(norm.weight, 1, 0.1)
        nn.init.normal_(norm.bias, 0, 0.1)
    pictures = torch.randn(3, 3, 97, 97)
    with torch.no_grad():
        before = encoder(pictures)
        encoder.fold_batch_norms()
        after = encoder(pictures)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in encoder.modules()) == left
    assert len(norms) > left
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)


def test_more_pictures_than_the_processor_takes_at_once() -> None:
    encoder = make_encoder().eval()
    pictures = torch.randn(47, 3, 97, 97)
    assert len(pictures) > _PIXELS_AT_ONCE // 97**2
    with torch.no_grad():
        together = encoder(pictures)
        alone = torch.cat([encoder(picture[None]) for picture in pictures])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
