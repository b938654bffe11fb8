"""Settings: what is refused, and TOML there and back."""

from pathlib import Path
from typing import Any

import pytest

from captioner.config.run import DataConfig, RunConfig, SplitConfig
from captioner.config.settings import DecodingConfig, ModelConfig, TrainingConfig
from captioner.config.toml_file import read_saved_stages, read_stages, to_toml
from captioner.errors import CaptionerError


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (DecodingConfig, {"beam_size": 0}, "beam_size is 0; it must lie between 1 and 1000"),
        (DecodingConfig, {"max_words": 10**9}, "max_words is 1000000000; it must lie between 1"),
        (DecodingConfig, {"num_captions": 10_001, "sample": True}, "between 1 and 10000"),
        (TrainingConfig, {"max_words": 1001}, "max_words is 1001; it must lie between 1 and 1000"),
        (DecodingConfig, {"temperature": 0.0}, "temperature is 0.0; it must lie between 0.01"),
        (DecodingConfig, {"temperature": float("inf")}, "expected a finite number"),
        (DecodingConfig, {"length_penalty": 500}, "between 0 and 10"),
        (DecodingConfig, {"seed": 10**18}, "seed is 1000000000000000000; it must lie between 0"),
        (TrainingConfig, {"max_cache_gib": float("inf")}, "expected a finite number"),
        (DataConfig, {"images": (1,)}, "images holds 1; expected texts in quotes"),
        (TrainingConfig, {"average_of": (1, 2)}, "average_of holds 1; expected texts in quotes"),
        (DecodingConfig, {"top_p": 1.5}, "top_p is 1.5"),
        (DecodingConfig, {"beam_size": 2, "num_captions": 3}, "num_captions is 3"),
        (ModelConfig, {"attention": "soft"}, "choose additive, dot or none"),
        (ModelConfig, {"attention": "additive", "attention_heads": 4}, "only dot attention"),
        (
            ModelConfig,
            {"attention": "none", "attention_heads": 1, "sentinel": True},
            "set sentinel to false or attention to dot or",
        ),
        (
            ModelConfig,
            {"attention": "none", "attention_heads": 1, "top_down": True},
            "top_down changes how attention looks, but attention is 'none'",
        ),
        (ModelConfig, {"sentinel": 1}, "sentinel is 1, of type int; expected bool"),
        (ModelConfig, {"cell": "elman"}, "cell is 'elman'; choose lstm, gru, rnn or highway"),
        (ModelConfig, {"layers": 0}, "layers is 0; it must be at least 1"),
        (ModelConfig, {"attention_heads": 3}, "must divide"),
        (ModelConfig, {"hidden_dropout": 1.0}, "between 0 and 0.95"),
        (ModelConfig, {"hidden_size": "512"}, "expected int"),
        (TrainingConfig, {"learning_rate": 10**400}, "learning_rate is a number of 401 digits"),
        (ModelConfig, {"hidden_size": -(10**19)}, "hidden_size is a number of 20 digits"),
        (TrainingConfig, {"average_of": "a"}, "average_of is 'a'; expected a list of texts"),
        (DataConfig, {"images": "photos"}, "images is 'photos'; expected a list of texts"),
        (DataConfig, {"val": SplitConfig(captions="a")}, "val_captions is 'a'; expected a list"),  # type: ignore[arg-type]
        (ModelConfig, {"tokens": "byte"}, "tokens is 'byte'; choose word or character"),
        (TrainingConfig, {"truncate_steps": -1}, "truncate_steps is -1; it must be at least 0"),
        (TrainingConfig, {"epochs": 0}, "epochs is 0"),
        (TrainingConfig, {"self_critical": True, "captions_per_picture": 1}, "2 or more"),
        (TrainingConfig, {"learning_rate": float("nan")}, "learning_rate is nan"),
        (TrainingConfig, {"cached_crops": 2}, "but augment, which draws crops, is false"),
    ],
)
def test_settings_that_make_no_sense(kind: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(CaptionerError, match=message):
        kind(**settings)


def test_a_list_becomes_a_tuple() -> None:
    assert TrainingConfig(average_of=["a/best", "b/last"]).average_of == ("a/best", "b/last")


def test_toml_there_and_back(tmp_path: Path) -> None:
    run = RunConfig(
        data=DataConfig(
            images=("/a", '/b "quoted"'),
            train=SplitConfig(captions=("/ä \U0001f408 \x7f\t.json",)),
            val=SplitConfig(captions=("/val.json",)),
        ),
        model=ModelConfig(encoder="resnet18", hidden_size=64),
        training=TrainingConfig(learning_rate=3e-5, autocast=True),
        decoding=DecodingConfig(beam_size=3, length_penalty=1),
    )
    file = tmp_path / "settings.toml"
    file.write_text(to_toml(run), encoding="utf-8")
    assert read_stages(file)[""] == run


def test_toml_with_a_typo_lists_what_is_known(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("[training]\nepoch = 3\n")
    with pytest.raises(CaptionerError, match="unknown setting epoch; did you mean epochs"):
        read_stages(file)
    file.write_text("[trainning]\nepochs = 3\n")
    with pytest.raises(CaptionerError, match="unknown table trainning; did you mean training"):
        read_stages(file)
    file.write_text("epochs = 3\n")
    with pytest.raises(
        CaptionerError, match=r"epochs is outside a table; expected tables \[data\]"
    ):
        read_stages(file)
    file.write_text("epochs = \n")
    with pytest.raises(CaptionerError, match="cannot be read as a TOML file"):
        read_stages(file)


def test_paths_in_a_file_are_relative_to_it(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('[data]\nimages = ["pictures", "/elsewhere"]\nval_captions = ["a.csv"]\n')
    data = read_stages(file)[""].data
    assert data.images == (str(tmp_path / "pictures"), "/elsewhere")
    assert data.val.captions == (str(tmp_path / "a.csv"),)


def test_a_keyword_is_one_only_for_its_own_setting(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(
        '[data]\nimages = ["none"]\n[training]\nencoder_weights = "shipped"\nstart_from = "none"\n'
    )
    run = read_stages(file)[""]
    assert run.data.images == (str(tmp_path / "none"),)
    assert run.training.encoder_weights == "shipped"
    assert run.training.start_from == str(tmp_path / "none")


STAGES = """
[training]
seed = 7
epochs = 4

[[stages]]
name = "words"

[[stages]]
name = "encoder"
[stages.training]
epochs = 2
fine_tune_from = "features.14"
[stages.data]
images = ["more"]
"""


def test_stages_share_what_they_do_not_say(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(STAGES)
    stages = read_stages(file)
    assert list(stages) == ["words", "encoder"]
    assert stages["words"] == RunConfig(training=TrainingConfig(seed=7, epochs=4))
    expected = TrainingConfig(seed=7, epochs=2, fine_tune_from="features.14")
    assert stages["encoder"].training == expected
    assert stages["encoder"].data.images == (str(tmp_path / "more"),)
    written = "\n".join(to_toml(run, name) for name, run in stages.items())
    file.write_text(written)
    assert read_stages(file) == stages


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[stages]]\n[stages.training]\nepochs = 2\n", "has the name None"),
        ('[[stages]]\nname = "a"\n[[stages]]\nname = "a"\n', "has the name 'a'"),
        ('[[stages]]\nname = "../a"\n', "has the name '../a'"),
        ('[[stages]]\nname = "cache"\n', "has the name 'cache'"),
        ('[[stages]]\nname = "a"\nepochs = 2\n', "epochs is outside a table"),
        ('stages = "a"\n', "write each as \\[\\[stages\\]\\]"),
        ("stages = []\n", "write each as \\[\\[stages\\]\\]"),
        ('[[stages]]\nname = "a"\n[stages.training]\nepoch = 2\n', "unknown setting epoch"),
    ],
)
def test_stages_that_cannot_be(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(text)
    with pytest.raises(CaptionerError, match=message):
        read_stages(file)


def test_saved_settings_that_end_early_are_not_filled_up_with_defaults(tmp_path: Path) -> None:
    run = RunConfig(training=TrainingConfig(epochs=3), decoding=DecodingConfig(seed=12))
    file = tmp_path / "settings.toml"
    for whole in (to_toml(run), to_toml(run, "words") + "\n" + to_toml(run, "still")):
        file.write_text(whole)
        assert all(read == run for read in read_saved_stages(file).values())
        lines = whole.splitlines()
        for kept in (0, 3, len(lines) // 3, len(lines) - 11, len(lines) - 1):
            file.write_text("\n".join(lines[:kept]))
            with pytest.raises(CaptionerError, match="empty or cut off"):
                read_saved_stages(file)


def test_the_recipe_of_what_ships_can_be_read() -> None:
    stages = read_stages(Path(__file__).parents[2] / "checkpoints" / "recipe.toml")
    assert list(stages) == [
        "words", "encoder", "balance", "critic", "critic_again", "answers",
        "more", "consensus", "critic_3", "critic_4", "more_again", "critic_5", "answers_again",
        "whole", "cropped", "critic_6", "critic_7", "cropped_again", "critic_8", "critic_9",
        "critic_10", "answers_3",
    ]  # fmt: skip
    named = {name.split("/")[0] for name in stages["answers_3"].training.average_of}
    assert named == {
        "cropped", "critic_6", "cropped_again", "critic_8", "critic_9", "critic_10",
    }  # fmt: skip
