"""Checkpoints: what goes in comes out, and what is wrong is said."""

import dataclasses
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from captioner import Captioner
from captioner.config.settings import DecodingConfig, ModelConfig
from captioner.data.images import IMAGENET_MEAN, IMAGENET_STD
from captioner.data.vocabulary import Vocabulary
from captioner.errors import CaptionerError
from captioner.model import checkpoint
from captioner.model.captioning_model import CaptioningModel
from captioner.model.checkpoint import Checkpoint
from captioner.model.recurrence import LSTMCell
from captioner.model.tensor_file import read_tensors, write_tensors

SMALL: dict[str, object] = {
    "encoder_stage": "features.3",
    "image_size": 33,
    "feature_size": 6,
    "attention_size": 4,
    "attention_heads": 2,
    "embedding_size": 5,
    "hidden_size": 7,
}


PREPROCESSING = {"resize": "squash", "mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)}


def make_checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    config = ModelConfig(**SMALL)  # type: ignore[arg-type]
    return Checkpoint(
        model=CaptioningModel(config, Vocabulary(["ein", "hündchen"])),
        training={"learning_rate": 0.5},
        decoding=DecodingConfig(beam_size=3),
        scores=[{"set": "made up", "values": {"BLEU-4": 0.25}}],
    )


@pytest.mark.parametrize("half", [False, True])
def test_there_and_back(tmp_path: Path, half: bool) -> None:
    saved = make_checkpoint()
    file = tmp_path / "folder" / "model.safetensors"
    file.parent.mkdir()
    checkpoint.save(saved, file, half=half)
    loaded = checkpoint.load(file)
    assert loaded.model.config == saved.model.config
    assert loaded.model.vocabulary.words == saved.model.vocabulary.words
    assert (loaded.training, loaded.decoding) == (saved.training, saved.decoding)
    assert loaded.scores == saved.scores
    assert not loaded.model.training
    ours, theirs = (checkpoint.named_tensors(c.model) for c in (saved, loaded))
    assert set(ours) == set(theirs)
    for name, value in ours.items():
        expected = value.half().to(value.dtype) if half else value
        assert torch.equal(theirs[name], expected), name
    assert list(file.parent.iterdir()) == [file]
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    assert file.stat().st_mode == ordinary.stat().st_mode  # others may read it as any file


def rewrite(file: Path, **changes: object) -> None:
    """Change entries of a checkpoint's metadata."""
    with safe_open(file, framework="pt") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        about = json.loads(opened.metadata()["captioner"])
    save_file(tensors, file, metadata={"captioner": json.dumps(about | changes)})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 99}, "checkpoint format 99, this captioner reads format 1"),
        ({"vocabulary": ["ein"]}, "weights do not fit its settings"),
        ({"vocabulary": []}, "vocabulary is empty"),
        ({"preprocessing": {"size": 33, "resize": "crop"}}, "pictures were prepared as"),
        ({"model": {"colour": "red"}}, "unknown setting colour"),
        ({"model": SMALL | {"cell": "gru"}}, r"decoder.cell.candidate_bias expected \(7,\), given"),
        (
            {"model": SMALL | {"cell": "rnn"}},
            r"initial_state.weight expected \(7, 6\), given \(14, 6\)",
        ),
        ({"model": SMALL | {"sentinel": True}}, r"decoder.sentinel.* given absent"),
        ({"model": SMALL | {"top_down": True}}, r"decoder.attention_cell.* given absent"),
        ({"model": SMALL | {"layers": 0}}, "layers is 0; it must be at least 1"),
        ({"model": SMALL | {"tokens": "character"}}, "the vocabulary holds words, such as 'ein'"),
        ({"training": None}, "damaged"),
        ({"vocabulary": "ei"}, "vocabulary is no list of texts"),
        ({"vocabulary": ["ein", 7]}, "vocabulary is no list of texts"),
        ({"answers": ["yes", "yes"]}, "answers holds a text twice"),
        ({"scores": 7}, "damaged"),
        ({"model": SMALL | {"layers": 10**9}}, "layers 1000000000 and glimpses 2 need more"),
        (
            {
                "model": SMALL | {"image_size": 10**6},
                "preprocessing": PREPROCESSING | {"size": 10**6},
            },
            "image_size 1000000 gives more grid cells",
        ),
        (
            {"model": SMALL | {"hidden_size": 10**6}},
            r"expected \(4, 1000000\), given \(4, 7\)",
        ),
        ({"model": SMALL | {"hidden_size": 10**12}}, "damaged"),
        (
            {"model": SMALL | {"glimpses": 10**9}, "question_vocabulary": ["what"]},
            "layers 1 and glimpses 1000000000 need more",
        ),
        (
            {"decoding": {"max_words": 10**9}},
            "model.safetensors.*: max_words is 1000000000; it must",
        ),
        ({"decoding": {"beam_size": 10**9}}, "beam_size is 1000000000; it must"),
        ({"model": SMALL | {"encoder": "regnet_y_128gf", "encoder_stage": ""}}, "do not fit"),
    ],
)
def test_what_does_not_fit_is_said(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    file = tmp_path / "model.safetensors"
    checkpoint.save(make_checkpoint(), file)
    rewrite(file, **changes)
    with pytest.raises(CaptionerError, match=message):
        checkpoint.load(file)


def test_settings_that_a_checkpoint_is_too_old_to_name_are_as_they_were(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    saved = make_checkpoint()
    checkpoint.save(saved, file)
    later = {"cell", "layers", "tokens", "sentinel", "top_down"}
    settings = dataclasses.asdict(saved.model.config)
    rewrite(file, model={name: settings[name] for name in settings.keys() - later})
    names = read_tensors(file)[0].keys()
    assert {"decoder.cell.hidden_gates.weight", "decoder.word_input.bias"} <= names
    loaded = checkpoint.load(file).model
    assert loaded.config == saved.model.config
    assert isinstance(loaded.decoder.cell, LSTMCell)


def test_files_that_are_no_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    with pytest.raises(CaptionerError, match="no such checkpoint file"):
        checkpoint.load(file)
    checkpoint.save(make_checkpoint(), file)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CaptionerError, match="not a readable .safetensors checkpoint"):
        checkpoint.load(file)
    file.write_text("hello")
    with pytest.raises(CaptionerError, match="not a readable .safetensors checkpoint"):
        checkpoint.load(file)
    save_file({"weight": torch.zeros(2)}, file)
    with pytest.raises(CaptionerError, match="not a captioner checkpoint"):
        checkpoint.load(file)


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_a_weight_that_is_not_finite_is_named(tmp_path: Path, value: float) -> None:
    saved = make_checkpoint()
    with torch.no_grad():
        saved.model.decoder.output_bias[3] = value
    file = tmp_path / "model.safetensors"
    checkpoint.save(saved, file)
    message = "1 tensors hold NaN or infinity, first decoder.output_bias"
    with pytest.raises(CaptionerError, match=message):
        checkpoint.load(file)


def test_half_precision_leaves_what_is_too_large_for_it(tmp_path: Path) -> None:
    saved = make_checkpoint()
    with torch.no_grad():
        saved.model.decoder.output_bias[3] = 1e5
    file = tmp_path / "model.safetensors"
    checkpoint.save(saved, file, half=True)
    assert checkpoint.load(file).model.decoder.output_bias[3] == 1e5


@pytest.mark.parametrize("encoder", ["regnet_y_400mf", "swin_t", "densenet121", "squeezenet1_1"])
def test_a_loaded_network_is_the_one_that_was_saved(tmp_path: Path, encoder: str) -> None:
    """Also one that computes with tensors while it is made, and the layout of its weights."""
    torch.manual_seed(1)
    config = ModelConfig(**(SMALL | {"encoder": encoder, "encoder_stage": "", "image_size": 65}))
    model = CaptioningModel(config, Vocabulary(["ein", "hündchen"])).eval()
    file = tmp_path / "model.safetensors"
    checkpoint.save(Checkpoint(model, {}, DecodingConfig()), file)
    loaded = checkpoint.load(file).model
    pictures = torch.randn(2, 3, 65, 65)
    with torch.no_grad():
        assert torch.equal(loaded.encoder(pictures), model.encoder(pictures))
    theirs = dict(loaded.named_parameters())
    for name, parameter in model.named_parameters():
        assert theirs[name].stride() == parameter.stride(), name
        assert theirs[name].requires_grad == parameter.requires_grad, name


def test_any_flipped_bit_is_found(tmp_path: Path) -> None:
    """In a word of its vocabulary, in a setting, in the weights: a file that still reads well."""
    file = tmp_path / "model.safetensors"
    checkpoint.save(make_checkpoint(), file)
    whole = file.read_bytes()
    for place in (whole.index(b"ein"), whole.index(b"learning_rate"), len(whole) - 3):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        file.write_bytes(damaged)
        with pytest.raises(CaptionerError, match="damaged since it was written"):
            checkpoint.load(file)
    file.write_bytes(whole)
    checkpoint.load(file)


def test_tensors_of_any_type_and_shape_have_a_checksum(tmp_path: Path) -> None:
    tensors = {
        "half": torch.arange(6, dtype=torch.float16).view(2, 3),
        "brain": torch.ones(5, dtype=torch.bfloat16),
        "step": torch.tensor(3.0),
        "count": torch.tensor(7),
        "none": torch.zeros(0, 2),
    }
    file = tmp_path / "tensors.safetensors"
    write_tensors(tensors, {"a": "b"}, file)
    read, metadata = read_tensors(file)
    assert metadata == {"a": "b"}
    assert all(torch.equal(read[name], value) for name, value in tensors.items())


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "model.safetensors"
    checkpoint.save(make_checkpoint(), file)
    before = file.read_bytes()

    def full_disk(tensors: object, partial: Path, metadata: object) -> None:
        partial.write_bytes(b"half a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("captioner.model.tensor_file.save_file", full_disk)
    with pytest.raises(CaptionerError, match="No space left on device.*free some space"):
        checkpoint.save(make_checkpoint(), file)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_a_score_is_kept_once_a_set_and_the_weights_stay(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    checkpoint.save(make_checkpoint(), file, half=True)
    before = read_tensors(file)[0]
    for value in (0.5, 0.75):
        checkpoint.add_score(file, {"set": "mine", "values": {"BLEU-4": value}})
    assert checkpoint.load(file).scores == [
        {"set": "made up", "values": {"BLEU-4": 0.25}},
        {"set": "mine", "values": {"BLEU-4": 0.75}},
    ]
    after = read_tensors(file)[0]
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert all(after[name].dtype == value.dtype for name, value in before.items())


def test_scores_recorded_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    checkpoint.save(make_checkpoint(), file, half=True)
    names = [f"set {number}" for number in range(12)]
    with ThreadPoolExecutor(4) as pool:
        scores = [{"set": name, "values": {"BLEU-4": 0.5}} for name in names]
        list(pool.map(partial(checkpoint.add_score, file), scores))
    kept = [score["set"] for score in checkpoint.load(file).scores]
    assert sorted(kept) == sorted(["made up", *names])


def test_a_captioner_leaves_the_checkpoint_that_it_was_given_as_it_was(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    loaded = checkpoint.load(tiny_checkpoint)
    captioner = Captioner(loaded, torch.device("cpu"))
    checkpoint.save(loaded, tmp_path / "again.safetensors")
    before, after = (
        read_tensors(file)[0] for file in (tiny_checkpoint, tmp_path / "again.safetensors")
    )
    assert all(torch.equal(before[name], value) for name, value in after.items())
    with pytest.raises(CaptionerError, match="save one that checkpoint.load gives"):
        checkpoint.save(
            dataclasses.replace(loaded, model=captioner.model), tmp_path / "folded.safetensors"
        )


def test_training_settings_of_another_release_do_not_keep_a_checkpoint_from_loading(
    tmp_path: Path,
) -> None:
    file = tmp_path / "model.safetensors"
    checkpoint.save(make_checkpoint(), file)
    recorded = {"fault_cost": 0.3, "learning_rate": "fast", "a setting of tomorrow": [1]}
    rewrite(file, training=recorded)
    assert checkpoint.load(file).training == recorded


@pytest.mark.parametrize(
    ("part", "name", "off", "on"),
    [("model", "fine_stage", "", "features.1"), ("decoding", "mirror", False, True)],
)
def test_a_retired_setting_is_accepted_where_it_was_off(
    tmp_path: Path, part: str, name: str, off: object, on: object
) -> None:
    file = tmp_path / "model.safetensors"
    saved = make_checkpoint()
    checkpoint.save(saved, file)
    settings = {
        "model": dataclasses.asdict(saved.model.config),
        "decoding": dataclasses.asdict(saved.decoding),
    }[part]
    rewrite(file, **{part: settings | {name: off}})
    assert checkpoint.load(file).decoding == saved.decoding
    rewrite(file, **{part: settings | {name: on}})
    with pytest.raises(CaptionerError, match=f"made with {name} .* no longer has"):
        checkpoint.load(file)


def test_the_bundled_checkpoint_captions_the_samples_as_when_it_was_made() -> None:
    """The file is read byte for byte as it was released; whatever the code, it says the same."""
    file = checkpoint.default_checkpoint()
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert digest == "e3c3f787821ec4af59579e86a3f4dc23e9bde2f53267a51154802d2cc2e17b2b"
    samples = sorted((Path(__file__).parents[2] / "data" / "samples").glob("*.jpg"))
    said = [caption.text for caption in Captioner.load(file, "cpu").caption(samples)]
    assert said == [
        "a man in a red jacket is standing on a blue bench",
        "a man in a black jacket is holding a camera",
        "a cat sitting on top of a wooden table",
        "a bowl of food on a wooden table",
        "a group of people standing next to each other",
    ]
