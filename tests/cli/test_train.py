"""captioner train as its user runs it: options, refusals, an interrupt and what comes after."""

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import torch
from PIL import Image

from captioner.cli import main
from captioner.cli.train import choose_settings
from captioner.config.toml_file import read_stages
from captioner.model import checkpoint
from captioner.model.tensor_file import read_tensors

SETTINGS = """
[model]
encoder_stage = "features.3"
image_size = 64
feature_size = 16
attention_size = 16
attention_heads = 2
embedding_size = 8
hidden_size = 16

[training]
encoder_weights = "none"
min_count = 1
pictures_per_batch = 2
epochs = 2

[decoding]
beam_size = 1
"""

SHIPPED_ENCODER = checkpoint.load(checkpoint.default_checkpoint()).model.config.encoder


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with pictures, captions in a CSV file and settings."""
    lines = ["image,caption"]
    for number in range(4):
        Image.new("RGB", (50, 40), (60 * number, 80, 120)).save(tmp_path / f"{number}.png")
        lines += [f"{number}.png,picture number {number}", f"{number}.png,a plain colour"]
    (tmp_path / "captions.csv").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "settings.toml").write_text(SETTINGS)
    return tmp_path


def arguments(own: Path, *more: str) -> list[str]:
    data = ["--images", own, "--captions", own / "captions.csv"]
    held_out = ["--val-captions", own / "captions.csv", "--config", own / "settings.toml"]
    return ["train", *map(str, [*data, *held_out, "--output", own / "run"]), *more]


def run(*args: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(sys, "argv", ["captioner", *args])
        main()
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_it_trains_and_prints_the_best_checkpoint(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(*arguments(own, "--epochs", "3", "--seed", "5"), capsys=capsys)
    assert status == 0
    assert out == f"{own / 'run' / 'best.safetensors'}\n"
    assert "feature cache of 4 pictures: 0.00 GiB in" in err
    assert "epoch 3 of 3: validation loss" in err
    best = own / "run" / "best.safetensors"
    [score] = checkpoint.load(best).scores
    summary = err.splitlines()[-1]
    assert summary.startswith(f"wrote {best}: ") and f"--checkpoint {best}" in summary
    assert f"BLEU-4 {score['values']['BLEU-4']:.3f}" in summary
    settings = (own / "run" / "settings.toml").read_text()
    assert "seed = 5" in settings and "epochs = 3" in settings and "hidden_size = 16" in settings
    logged = [json.loads(line) for line in (own / "run" / "log.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in logged if "epoch" in record] == [1, 2, 3]
    assert (own / "run" / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_is_neither_overwritten_nor_resumed_with_other_settings(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = str(own / "run")
    status, _, err = run("train", "--output", output, "--resume", capsys=capsys)
    assert (status, err.count("\n")) == (2, 1)
    assert "no run to resume" in err
    assert run(*arguments(own, "--epochs", "1"), capsys=capsys)[0] == 0
    status, _, err = run(*arguments(own), capsys=capsys)
    assert (status, err.count("\n")) == (2, 1)
    assert "already holds a run; go on with --resume" in err
    status, _, err = run("train", "--output", output, "--resume", "--epochs", "9", capsys=capsys)
    assert (status, err.count("\n")) == (2, 1)
    assert "--resume takes its settings from" in err
    for kept in (0, 200):
        os.truncate(own / "run" / "settings.toml", kept)
        status, _, err = run("train", "--output", output, "--resume", capsys=capsys)
        assert (status, err.count("\n")) == (2, 1)
        assert f"{own / 'run' / 'settings.toml'}: " in err


def test_a_run_goes_on_with_another_learning_rate(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which its settings say from then on; a stage's, where the run is in one."""
    stages = '\n[[stages]]\nname = "words"\n[[stages]]\nname = "more"\n[[stages]]\nname = "last"\n'
    (own / "settings.toml").write_text(SETTINGS + stages)
    assert run(*arguments(own, "--epochs", "1"), capsys=capsys)[0] == 0
    for file in ("state.safetensors", "state.previous.safetensors", "settings.toml"):
        (own / "run" / "last" / file).unlink()  # as if it were still in the stage before
    output = own / "run"
    resume = ("train", "--output", str(output), "--resume", "--learning-rate", "0.00025")
    status, _, err = run(*resume, "--set", "training.warm_up_steps=7", capsys=capsys)
    assert status == 0, err
    for name, stage in read_stages(output / "settings.toml").items():
        changed = name == "more"
        assert stage.training.learning_rate == (0.00025 if changed else 1e-3), name
        assert stage.training.warm_up_steps == (7 if changed else 200), name
    assert read_stages(output / "more" / "settings.toml")[""].training.learning_rate == 0.00025
    assert read_stages(output / "last" / "settings.toml")[""].training.learning_rate == 1e-3
    before = (output / "settings.toml").read_text() + "# a comment of mine\n"
    (output / "settings.toml").write_text(before)
    assert run("train", "--output", str(output), "--resume", capsys=capsys)[0] == 0
    assert (output / "settings.toml").read_text() == before
    status, _, err = run(*resume, "--set", "training.seed=1", capsys=capsys)
    assert (status, err.count("\n")) == (2, 1)
    assert "with it only these can be changed: learning_rate, encoder_learning_rate" in err


def test_any_setting_can_be_given_by_its_name_in_the_file(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Numbers, true and false, texts with and without quotes; it comes after the other options."""
    given = [
        "training.label_smoothing=0.05",
        "training.mirror=false",
        "training.epochs = 1",
        "model.cell=gru",
        'model.attention="additive"',
        "decoding.length_penalty=0.5",
    ]
    options = [text for setting in given for text in ("--set", setting)]
    status, out, _ = run(*arguments(own, "--epochs", "9", *options), capsys=capsys)
    assert status == 0
    saved = checkpoint.load(Path(out.strip()))
    assert (saved.training["label_smoothing"], saved.training["mirror"]) == (0.05, False)
    assert saved.training["epochs"] == 1
    assert (saved.model.config.cell, saved.model.config.attention) == ("gru", "additive")
    assert saved.decoding.length_penalty == 0.5
    resumed = ["train", "--output", str(own / "run"), "--resume", "--set", "training.epochs=2"]
    status, _, err = run(*resumed, capsys=capsys)
    assert status == 2 and "--resume takes its settings from" in err


@pytest.mark.parametrize(
    ("written", "given", "heads"),
    [
        ('attention = "additive"', {}, 1),
        ('attention = "additive"', {"attention": "dot"}, 8),
        ("attention_heads = 4", {"attention": "dot"}, 4),
        ("attention_heads = 4", {"attention": "additive"}, 1),
        ('attention = "none"', {"settings": ["model.attention=dot"]}, 8),
        (
            'attention = "none"',
            {"attention": "dot", "settings": ["model.attention_heads=2"]},
            2,
        ),
    ],
)
def test_another_attention_than_the_files_has_its_own_number_of_heads(
    tmp_path: Path, written: str, given: dict[str, object], heads: int
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(f"[model]\n{written}\n")
    stages = choose_settings(tmp_path / "run", {"config": file, **given}, resume=False)
    assert stages[""].model.attention_heads == heads


def test_a_file_with_stages_is_one_command(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    still = '\n[[stages]]\nname = "still"\n[stages.training]\nlearning_rate = 0.0\nepochs = 1\n'
    (own / "settings.toml").write_text(f'{SETTINGS}\n[[stages]]\nname = "words"\n{still}')
    status, out, err = run(*arguments(own), capsys=capsys)
    assert (status, out) == (0, f"{own / 'run' / 'still' / 'best.safetensors'}\n")
    assert err.index("stage words") < err.index("epoch 2 of 2") < err.index("stage still")
    learned, kept = (
        read_tensors(own / "run" / stage / "best.safetensors")[0] for stage in ("words", "still")
    )
    assert all(torch.equal(learned[name], kept[name]) for name in learned)
    status, _, err = run(*arguments(own), capsys=capsys)
    assert (status, err.count("\n")) == (2, 1)
    assert "already holds a run" in err
    again = ("train", "--output", str(own / "run"), "--resume")
    assert run(*again, capsys=capsys)[:2] == (0, out)
    status, _, err = run(*arguments(own, "--output", "x", "--start-from", "y"), capsys=capsys)
    assert (status, err.count("\n")) == (2, 1)
    assert "has 2 stages, each of which goes on from the one before" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--epochs", "0"], "epochs is 0; it must be at least 1"),
        (["--encoder", "resnet999"], "choose one of alexnet"),
        (["--encoder-weights", "absent.pth"], "cannot read encoder weights"),
        (["--device", "cuda:99"], "device 'cuda:99' is not there; this machine has cpu"),
        (["--start-from", "absent.safetensors"], "no such checkpoint file"),
        (["--captions", "gone.json"], "cannot read gone.json"),
        (["--images", "nowhere"], "nowhere is not a folder"),
        (["--config", "absent.toml"], "cannot read absent.toml: No such file"),
        (["--cell", "elman"], "cell is 'elman'; choose lstm, gru, rnn or highway"),
        (["--layers", "0"], "layers is 0; it must be at least 1"),
        (["--attention", "hard"], "attention is 'hard'; choose additive, dot or none"),
        (["--tokens", "byte"], "tokens is 'byte'; choose word or character"),
        (["--truncate-steps", "0"], "--truncate-steps"),
        (
            ["--encoder", "vgg11", "--encoder-weights", "shipped"],
            f"give the weights of that same network, or set encoder to {SHIPPED_ENCODER}",
        ),
        (["--fine-tune-from", "layer9"], "no stage 'layer9'; its stages are features.0"),
        (["--set", "epochs=3"], "--set epochs=3: expected TABLE.KEY=VALUE, with one of the tables"),
        (["--set", "trainig.epochs=3"], "one of the tables data, model, training, decoding"),
        (["--set", "training.epochs"], "--set training.epochs: expected TABLE.KEY=VALUE"),
        (["--set", "training.epoch=3"], "unknown setting epoch; did you mean epochs?"),
        (["--set", "training.epochs=many"], "epochs is 'many', of type str; expected int"),
        (["--set", "training.label_smoothing=2"], "label_smoothing is 2.0; it must lie between 0"),
    ],
)
def test_bad_options_are_one_line_and_leave_nothing(
    own: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    status, out, err = run(*arguments(own, *options), capsys=capsys)
    assert (status, out) == (2, "")
    assert message in err.splitlines()[-1]
    assert "Traceback" not in err
    assert not list(own.rglob("*.safetensors"))


def test_a_member_of_the_family_trains_and_is_not_gone_on_with_as_another(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    member = {"cell": "gru", "layers": "2", "attention": "none", "tokens": "character"}
    options = [text for name, value in member.items() for text in (f"--{name}", value)]
    status, out, _ = run(*arguments(own, *options, "--truncate-steps", "3"), capsys=capsys)
    assert status == 0
    settings = tomllib.loads((own / "run" / "settings.toml").read_text())
    assert {name: str(settings["model"][name]) for name in member} == member
    assert settings["training"]["truncate_steps"] == 3
    again = ["--output", str(own / "again"), "--start-from", out.strip()]
    for name, other in (("cell", "lstm"), ("layers", "1"), ("tokens", "word")):
        status, _, err = run(*arguments(own, *again, f"--{name}", other), capsys=capsys)
        assert status == 2
        assert f"{name} {member[name]}, not {other}" in err.splitlines()[-1]


def test_it_goes_on_from_the_checkpoint_that_ships(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (own / "settings.toml").write_text("[training]\nepochs = 1\n[decoding]\nbeam_size = 1\n")
    status, _, err = run(*arguments(own, "--start-from", "shipped"), capsys=capsys)
    assert status == 0, err
    shipped = checkpoint.load(checkpoint.default_checkpoint()).model
    trained = checkpoint.load(own / "run" / "last.safetensors").model
    assert trained.config.encoder == shipped.config.encoder
    assert trained.vocabulary.words == shipped.vocabulary.words
    settings = tomllib.loads((own / "run" / "settings.toml").read_text())
    assert settings["training"]["start_from"] == "shipped"
    assert "encoder" not in settings["model"] and "encoder_weights" not in settings["training"]
    status, _, err = run("train", "--output", str(own / "run"), "--resume", capsys=capsys)
    assert status == 0
    assert "all epochs are done; to train on, start another run from its checkpoint" in err


def test_a_job_that_is_ended_with_all_its_processes_can_be_resumed(own: Path) -> None:
    settings = own / "settings.toml"
    augmented = "[training]\naugment = true\nsave_steps = 1\nworkers = 2\n"
    settings.write_text(settings.read_text().replace("[training]\n", augmented))
    code = "import sys; from captioner.cli import main; main()"
    command = [sys.executable, "-c", code, *arguments(own, "--epochs", "400")]
    started = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    state = own / "run" / "state.safetensors"
    try:
        for _ in range(600):
            if state.exists():
                break
            assert started.poll() is None, started.communicate()[1]
            time.sleep(0.1)
        os.killpg(started.pid, signal.SIGTERM)
        _, err = started.communicate(timeout=60)
    finally:
        started.kill()
    assert "Traceback" not in err
    assert f"go on with: captioner train --output {own / 'run'} --resume" in err


@pytest.mark.skipif(sys.platform == "win32", reason="process groups of POSIX")
def test_a_run_that_is_done_leaves_no_process_and_no_half_written_file(own: Path) -> None:
    settings = own / "settings.toml"
    augmented = "[training]\naugment = true\nworkers = 2\n"
    settings.write_text(settings.read_text().replace("[training]\n", augmented))
    command = [sys.executable, "-m", "captioner", *arguments(own, "--epochs", "2")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as done:
        assert done.communicate(timeout=120)[0].decode() == f"{own / 'run' / 'best.safetensors'}\n"
    assert done.returncode == 0
    with pytest.raises(ProcessLookupError):
        os.killpg(done.pid, 0)
    assert not list(own.rglob("*partial*"))


def test_no_data_at_all(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run("train", "--output", str(own / "run"), capsys=capsys)
    assert (status, err.count("\n")) == (2, 1)
    assert "no train data: give at least one folder of pictures (--images)" in err


def test_a_run_keeps_others_out_and_when_interrupted_says_how_to_go_on(own: Path) -> None:
    code = "import sys; from captioner.cli import main; main()"
    command = [sys.executable, "-c", code, *arguments(own, "--epochs", "400")]
    started = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    resume = [sys.executable, "-c", code, "train", "--output", str(own / "run"), "--resume"]
    state = own / "run" / "state.safetensors"
    try:
        for _ in range(600):
            if state.exists():
                break
            assert started.poll() is None, started.communicate()[1]
            time.sleep(0.1)
        second = subprocess.run(resume, capture_output=True, text=True, check=False, timeout=120)
        assert (second.returncode, second.stderr.count("\n")) == (2, 1), second.stderr
        assert "another run is at work here; wait for it" in second.stderr
        started.send_signal(signal.SIGINT)
        _, err = started.communicate(timeout=60)
    finally:
        started.kill()
    assert started.returncode == 130
    assert "Traceback" not in err
    assert f"go on with: captioner train --output {own / 'run'} --resume" in err
    # The settings of the run are a file that people may edit between: here, to make it short.
    settings = own / "run" / "settings.toml"
    settings.write_text(settings.read_text().replace("epochs = 400", "epochs = 1"))
    done = subprocess.run(resume, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "resuming at step" in done.stderr
