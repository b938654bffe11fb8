"""Training captions: it learns, resumes exactly, and reports errors clearly."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from helpers import COLOURS, CPU, Quiet, assert_equal, settings, weights

from captioner.api import Captioner
from captioner.config.run import RunConfig
from captioner.config.settings import ModelConfig
from captioner.config.toml_file import read_stages
from captioner.data.caption_files import read_captions
from captioner.data.picture_loading import View
from captioner.errors import CaptionerError
from captioner.metrics.cider import cider_d
from captioner.metrics.ptb_tokenizer import tokenize
from captioner.model import checkpoint
from captioner.model.averaging import average
from captioner.model.checkpoint import Checkpoint
from captioner.training.log import TrainingLog
from captioner.training.loop import fit, train_one_epoch
from captioner.training.optimizer import make_optimizer
from captioner.training.setup import Interrupted, prepare
from captioner.training.stages import fit_stages
from captioner.training.state import Position


def learn(run: RunConfig, folder: Path) -> Captioner:
    """Train without validation and return the model."""
    torch.manual_seed(run.training.seed)
    task = prepare(run, output=folder, caches=folder, device=CPU, reporter=Quiet())
    optimizer, position = make_optimizer(task.model, run.training), Position()
    while position.epoch < run.training.epochs:
        train_one_epoch(task, task.model, optimizer, position)
        position.epoch, position.batch = position.epoch + 1, 0
    saved = Checkpoint(task.model.eval(), {}, run.decoding)
    checkpoint.save(saved, folder / "last.safetensors")
    return Captioner(saved, CPU)


class Recorder(Quiet):
    """A reporter that keeps what was reported of training."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, int]] = []

    def progress(self, task: str, done: int, total: int, detail: str) -> None:
        super().progress(task, done, total, detail)
        assert task != "training" or done == 0 or "loss " in detail
        self.seen += [(done, total)] * (task == "training")


def test_every_step_is_reported_from_the_start_on(pictures: Path, tmp_path: Path) -> None:
    run, reporter = settings(pictures, epochs=1), Recorder()
    task = prepare(run, output=tmp_path, caches=tmp_path, device=CPU, reporter=reporter)
    optimizer = make_optimizer(task.model, run.training)
    train_one_epoch(task, task.model, optimizer, Position())
    assert reporter.seen == [(step, 3) for step in range(4)]  # 8 pictures, 3 a batch


@pytest.mark.parametrize(
    "changes",
    [{}, {"sentinel": True}, {"top_down": True}, {"sentinel": True, "top_down": True}],
    ids=["default", "sentinel", "top-down", "both"],
)
def test_overfits_a_few_pictures_until_the_text_is_exact(
    pictures: Path, tmp_path: Path, changes: dict[str, bool]
) -> None:
    dropout = {"feature_dropout": 0.0, "embedding_dropout": 0.0, "hidden_dropout": 0.0}
    run = settings(
        pictures,
        epochs=150,
        pictures_per_batch=8,
        label_smoothing=0.0,
        mirror=False,
        learning_rate=1e-2,
    )
    run = dataclasses.replace(run, model=dataclasses.replace(run.model, **dropout, **changes))
    model = learn(run, tmp_path)
    for colour in COLOURS:
        for shape in ("box", "ball"):
            both = model.caption(pictures / f"{colour} {shape}.png", beam_size=4, num_captions=2)
            texts = sorted(caption.text for caption in both)
            assert texts == [f"a {colour} {shape}", f"there is a {shape} that is {colour}"]


def test_character_model_writes_words(pictures: Path, tmp_path: Path) -> None:
    run = settings(
        pictures,
        epochs=120,
        pictures_per_batch=8,
        mirror=False,
        learning_rate=1e-2,
        label_smoothing=0.0,
        truncate_steps=8,
    )
    changes = {"tokens": "character", "cell": "gru", "hidden_size": 64, "hidden_dropout": 0.0}
    model = learn(
        dataclasses.replace(run, model=dataclasses.replace(run.model, **changes)), tmp_path
    )
    assert set(model.model.vocabulary.words[4:]) <= set("abcdefghijklmnopqrstuvwxyz ")
    caption = model.caption(pictures / "red ball.png")
    assert caption.text in ("a red ball", "there is a ball that is red")
    assert caption.text.split() == [word.word for word in caption.words]
    assert caption.attention.shape[0] == len(caption.words)
    assert all(abs(cells.sum() - 1) < 1e-5 for cells in caption.attention)
    assert all(0 < word.probability <= 1 for word in caption.words)
    short = model.caption(pictures / "red ball.png", max_words=1)
    assert len(short.text) <= 6


@pytest.mark.parametrize(
    "changes",
    [
        {"average_decay": 0.9, "attention_penalty": 0.5},
        {"fine_tune_from": "features.3", "update_batch_norm": True},
        {"augment": True, "workers": 2},
        {"augment": True, "cached_crops": 1},
        {"self_critical": True, "truncate_steps": 2, "autocast": True},
        {"truncate_steps": 2},
    ],
    ids=["cached", "fine-tuned", "augmented", "cached-crops", "self-critical", "truncated"],
)
def test_resumed_equals_uninterrupted_to_the_bit(
    pictures: Path, tmp_path: Path, changes: dict[str, object]
) -> None:
    run = settings(pictures, **changes)
    if changes == {"truncate_steps": 2}:  # with all parts of the decoder
        run = dataclasses.replace(
            run, model=dataclasses.replace(run.model, sentinel=True, top_down=True)
        )
    fit(run, tmp_path / "whole", device=CPU, resume=False, reporter=Quiet())
    part = tmp_path / "part"
    # Each run is interrupted at its fifth check: after a step, or during validation.
    for resume in (False, True):
        with pytest.raises(KeyboardInterrupt):
            fit(run, part, device=CPU, resume=resume, reporter=Quiet(stop_after=5))
        torch.rand(5)  # other random numbers in between must not matter
    fit(run, part, device=CPU, resume=True, reporter=Quiet())
    assert_equal(weights(part), weights(tmp_path / "whole"))
    assert_equal(weights(part, "best"), weights(tmp_path / "whole", "best"))
    assert_equal(weights(part, "state"), weights(tmp_path / "whole", "state"))
    logs = [
        [line for line in (folder / "log.jsonl").read_text().splitlines() if "BLEU-4" in line]
        for folder in (part, tmp_path / "whole")
    ]
    assert len(logs[0]) == 3
    assert logs[0] == logs[1]
    averaged = [name for name in weights(part, "state") if name.startswith("average.")]
    assert bool(averaged) == bool(run.training.average_decay)
    assert not any("encoder.stages" in name for name in averaged)  # frozen: stored once


def test_same_seed_gives_the_same_weights(pictures: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run = settings(pictures, seed=seed, epochs=1)
        fit(run, tmp_path / name, device=CPU, resume=False, reporter=Quiet())
    assert_equal(weights(tmp_path / "a"), weights(tmp_path / "b"))
    first, other = weights(tmp_path / "a"), weights(tmp_path / "c")
    assert any(not torch.equal(value, other[name]) for name, value in first.items())


def test_start_from_continues_from_a_checkpoint(pictures: Path, tmp_path: Path) -> None:
    fit(settings(pictures), tmp_path / "one", device=CPU, resume=False, reporter=Quiet())
    first = tmp_path / "one" / "last.safetensors"
    # This min_count would leave no word, but the vocabulary comes from the checkpoint.
    run = settings(pictures, start_from=str(first), learning_rate=0.0, epochs=1, min_count=99)
    changed = dataclasses.replace(run, model=ModelConfig(hidden_dropout=0.0))
    fit(changed, tmp_path / "two", device=CPU, resume=False, reporter=Quiet())
    assert_equal(weights(tmp_path / "two"), weights(tmp_path / "one"))
    other = dataclasses.replace(run, model=ModelConfig(hidden_size=48))
    with pytest.raises(CaptionerError, match="has hidden_size .*, not .*; leave hidden_size out"):
        fit(other, tmp_path / "three", device=CPU, resume=False, reporter=Quiet())


@pytest.mark.parametrize("half", [False, True])
def test_stages_continue_from_each_other_and_resume(
    pictures: Path, tmp_path: Path, half: bool
) -> None:
    def train(stages: dict[str, RunConfig], name: str, resume: bool, stop: int | None) -> Path:
        reporter = Quiet(stop_after=stop)
        return fit_stages(stages, tmp_path / name, device=CPU, resume=resume, reporter=reporter)

    stages = {
        "words": settings(pictures, epochs=2, half_precision=half),
        "critic": settings(pictures, seed=5, epochs=1, half_precision=half),
    }
    whole = train(stages, "whole", resume=False, stop=None)
    assert whole == tmp_path / "whole" / "critic"
    # Both freeze the same stages.
    assert len(list(whole.parent.rglob("*.f16"))) == 1
    alone = dataclasses.replace(
        stages["critic"],
        training=dataclasses.replace(
            stages["critic"].training, start_from=str(whole.parent / "words" / "best.safetensors")
        ),
    )
    fit(alone, tmp_path / "alone", device=CPU, resume=False, reporter=Quiet())
    assert_equal(weights(whole), weights(tmp_path / "alone"))
    state, tries = tmp_path / "parts" / "critic" / "state.safetensors", 0
    while not state.exists():
        with pytest.raises(Interrupted):
            train(stages, "parts", resume=tries > 0, stop=7)
        tries += 1
    assert tries > 1
    parts = train(read_stages(tmp_path / "parts" / "settings.toml"), "parts", True, None)
    assert_equal(weights(whole), weights(parts))


def test_stage_starts_from_the_mean_of_earlier_checkpoints(pictures: Path, tmp_path: Path) -> None:
    """Also after an interruption, from the settings file of the run."""
    named = ("words/last", "more/best")
    stages = {name: settings(pictures, epochs=1, seed=3) for name in ("words", "more")}
    stages["mean"] = settings(pictures, epochs=1, average_of=named)
    fit_stages(stages, tmp_path / "whole", device=CPU, resume=False, reporter=Quiet())
    files = [tmp_path / "whole" / f"{name}.safetensors" for name in named]
    checkpoint.save(average(files), tmp_path / "mean.safetensors")
    alone = settings(pictures, epochs=1, start_from=str(tmp_path / "mean.safetensors"))
    fit(alone, tmp_path / "alone", device=CPU, resume=False, reporter=Quiet())
    assert_equal(weights(tmp_path / "whole" / "mean"), weights(tmp_path / "alone"))

    parts, state = tmp_path / "parts", tmp_path / "parts" / "mean" / "state.safetensors"
    with pytest.raises(Interrupted):
        fit_stages(stages, parts, device=CPU, resume=False, reporter=Quiet(stop_after=7))
    written = read_stages(parts / "settings.toml")
    assert written["mean"].training.average_of == named
    while not state.exists():
        with pytest.raises(Interrupted):
            fit_stages(written, parts, device=CPU, resume=True, reporter=Quiet(stop_after=7))
    fit_stages(written, parts, device=CPU, resume=True, reporter=Quiet())
    assert_equal(weights(tmp_path / "whole" / "mean"), weights(parts / "mean"))


def test_a_stage_may_start_from_one_checkpoint_of_any_earlier_stage(
    pictures: Path, tmp_path: Path
) -> None:
    stages = {name: settings(pictures, epochs=1, seed=3) for name in ("words", "more")}
    stages["again"] = settings(pictures, epochs=1, average_of=("words/last",))
    fit_stages(stages, tmp_path, device=CPU, resume=False, reporter=Quiet())
    start, words, more = (
        checkpoint.named_tensors(checkpoint.load(tmp_path / f"{name}.safetensors").model)
        for name in ("again/start", "words/last", "more/last")
    )
    assert_equal(start, words)
    assert any(not torch.equal(start[name], more[name]) for name in start)


@pytest.mark.parametrize("named", [("mean/best",), ("words/best", "mean/best")])
def test_average_of_needs_checkpoints_of_earlier_stages(
    pictures: Path, tmp_path: Path, named: tuple[str, ...]
) -> None:
    stages = {"words": settings(pictures), "mean": settings(pictures, average_of=named)}
    with pytest.raises(CaptionerError, match="expected checkpoints of earlier stages"):
        fit_stages(stages, tmp_path / "run", device=CPU, resume=False, reporter=Quiet())
    assert not (tmp_path / "run").exists()


def test_resuming_does_not_change_a_finished_stage(pictures: Path, tmp_path: Path) -> None:
    """Even if its state file has been deleted to save space."""
    stages = {name: settings(pictures, epochs=1) for name in ("words", "more")}
    fit_stages(stages, tmp_path, device=CPU, resume=False, reporter=Quiet())
    (tmp_path / "words" / "state.safetensors").unlink()
    files = sorted(path for path in (tmp_path / "words").iterdir() if path.is_file())
    before = [(path, path.stat().st_mtime_ns) for path in files]
    fit_stages(stages, tmp_path, device=CPU, resume=True, reporter=Quiet())
    assert [(path, path.stat().st_mtime_ns) for path in files] == before
    assert not (tmp_path / "words" / "state.safetensors").exists()


def test_a_later_stages_data_are_looked_at_before_anything_is_trained(
    pictures: Path, tmp_path: Path
) -> None:
    wrong = settings(pictures).changed({"data": {"captions": ["gone.csv"]}}, "test")
    stages = {"words": settings(pictures), "more": wrong}
    with pytest.raises(CaptionerError, match="gone.csv"):
        fit_stages(stages, tmp_path / "run", device=CPU, resume=False, reporter=Quiet())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("start", ["gone", "run/more/last", "run/again/best"])
def test_start_from_of_all_stages_is_checked_before_training(
    pictures: Path, tmp_path: Path, start: str
) -> None:
    """A stage cannot start from its own checkpoints or from those of later stages."""
    gone = settings(pictures, start_from=str(tmp_path / f"{start}.safetensors"))
    stages = {"words": settings(pictures), "more": gone, "again": settings(pictures)}
    with pytest.raises(CaptionerError, match=rf"{start}\.safetensors: no such checkpoint file"):
        fit_stages(stages, tmp_path / "run", device=CPU, resume=False, reporter=Quiet())
    assert not (tmp_path / "run").exists()


def test_stage_may_start_from_any_earlier_stage(pictures: Path, tmp_path: Path) -> None:
    first = tmp_path / "run" / "words" / "last.safetensors"
    stages = {name: settings(pictures, epochs=1) for name in ("words", "more")}
    stages["again"] = settings(pictures, epochs=1, learning_rate=0.0, start_from=str(first))
    fit_stages(stages, tmp_path / "run", device=CPU, resume=False, reporter=Quiet())
    assert_equal(weights(tmp_path / "run" / "again"), weights(first.parent))


def test_self_critical_training_raises_the_reward(pictures: Path, tmp_path: Path) -> None:
    words = settings(pictures, epochs=15, pictures_per_batch=8, mirror=False, learning_rate=1e-2)
    reward = settings(
        pictures,
        start_from=str(tmp_path / "last.safetensors"),
        self_critical=True,
        captions_per_picture=8,
        pictures_per_batch=8,
        epochs=150,
        learning_rate=1e-2,
        mirror=False,
        sample_temperature=1.0,
    )

    def cider(model: Captioner) -> float:
        items = read_captions(pictures / "captions.jsonl", [pictures])
        texts = [best.text for best in model.caption([item.path for item in items], beam_size=1)]
        references = [[tokenize(text) for text in item.captions] for item in items]
        return float(cider_d([tokenize(text) for text in texts], references).mean())

    before = cider(learn(words, tmp_path))
    after = cider(learn(reward, tmp_path / "reward"))
    assert after > before + 0.5
    log = (tmp_path / "reward" / "log.jsonl").read_text().splitlines()
    rewards = [json.loads(line)["reward"] for line in log]
    assert rewards[-1] > rewards[0] + 0.5


def test_early_stopping_and_the_files_of_a_run(pictures: Path, tmp_path: Path) -> None:
    reporter = Quiet()
    run = settings(pictures, epochs=9, patience=1, learning_rate=0.0, encoder_learning_rate=0.0)
    fit(run, tmp_path, device=CPU, resume=False, reporter=reporter)
    assert reporter.notes[-1] == "no better score or lower loss for 1 epochs: stopping"
    assert {path.name for path in tmp_path.iterdir()} == {
        "best.safetensors",
        "cache",
        "curve.png",
        "last.safetensors",
        "log.jsonl",
        "settings.toml",
        "state.previous.safetensors",
        "state.safetensors",
    }


def test_exploding_loss_raises(pictures: Path, tmp_path: Path) -> None:
    run = settings(pictures, learning_rate=1e30, clip_norm=0.0, warm_up_steps=0)
    with pytest.raises(CaptionerError, match="the loss is nan at step .* lower learning_rate"):
        fit(run, tmp_path, device=CPU, resume=False, reporter=Quiet())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"min_count": 99}, "vocabulary is empty"),
        ({"max_cache_gib": 1e-9}, "max_cache_gib"),
        ({"fine_tune_from": "layer4"}, "no stage 'layer4'"),
        ({"start_from": "absent.safetensors"}, "no such checkpoint"),
    ],
)
def test_bad_settings_raise_before_training(
    pictures: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(CaptionerError, match=message):
        fit(settings(pictures, **changes), tmp_path, device=CPU, resume=False, reporter=Quiet())
    assert not list(tmp_path.glob("*.safetensors"))


def test_exploding_gradients_do_not_change_the_saved_state(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = settings(pictures, save_steps=1)
    with pytest.raises(KeyboardInterrupt):
        fit(run, tmp_path, device=CPU, resume=False, reporter=Quiet(stop_after=4))
    before = weights(tmp_path, "state")
    monkeypatch.setattr(
        "captioner.training.step.nn.utils.clip_grad_norm_", lambda *_: torch.tensor(float("inf"))
    )
    with pytest.raises(CaptionerError, match="the gradient norm is inf at step"):
        fit(run, tmp_path, device=CPU, resume=True, reporter=Quiet())
    assert_equal(weights(tmp_path, "state"), before)


def test_resuming_a_finished_run_changes_nothing(pictures: Path, tmp_path: Path) -> None:
    run = settings(pictures, epochs=9, patience=1, learning_rate=0.0)
    fit(run, tmp_path, device=CPU, resume=False, reporter=Quiet())
    log = (tmp_path / "log.jsonl").read_text()
    before = weights(tmp_path, "state")
    fit(run, tmp_path, device=CPU, resume=True, reporter=Quiet())
    assert (tmp_path / "log.jsonl").read_text() == log
    assert_equal(weights(tmp_path, "state"), before)


def test_resuming_from_another_folder_after_a_partial_log_line(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fit(settings(pictures, epochs=1), Path("one"), device=CPU, resume=False, reporter=Quiet())
    run = settings(pictures, start_from="one/last.safetensors")
    with pytest.raises(KeyboardInterrupt):
        fit(run, Path("two"), device=CPU, resume=False, reporter=Quiet(stop_after=4))
    with Path("two/log.jsonl").open("a") as log:
        log.write('{"step": 2, "lo')
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    two = tmp_path / "two"
    fit(read_stages(two / "settings.toml")[""], two, device=CPU, resume=True, reporter=Quiet())
    records = [json.loads(line) for line in (two / "log.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records if "epoch" in record] == [1, 2, 3]
    assert checkpoint.load(two / "last.safetensors").training["start_from"] == "last.safetensors"


def test_resuming_with_changed_captions_raises(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(settings(pictures), tmp_path, device=CPU, resume=False, reporter=Quiet(stop_after=4))
    changed = tmp_path / "changed.jsonl"
    changed.write_text(
        "".join(
            json.dumps(record | {"caption": record["caption"].replace("ball", "bowl")}) + "\n"
            for record in map(json.loads, (pictures / "captions.jsonl").read_text().splitlines())
        )
    )
    run = settings(pictures)
    changed_run = run.changed({"data": {"captions": [str(changed)]}}, "test")
    with pytest.raises(CaptionerError, match="saved with other words or answers"):
        fit(changed_run, tmp_path, device=CPU, resume=True, reporter=Quiet())


@pytest.mark.parametrize("workers", [0, 2])
def test_broken_picture_raises_with_one_line(pictures: Path, tmp_path: Path, workers: int) -> None:
    for file in pictures.glob("*.png"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "red box.png").write_bytes(b"no picture any more")
    run = settings(pictures, augment=True, workers=workers)
    broken = run.changed({"data": {"images": [str(tmp_path)]}}, "test")
    with pytest.raises(CaptionerError, match="red box.png is not a picture") as caught:
        fit(broken, tmp_path / "run", device=CPU, resume=False, reporter=Quiet())
    assert "\n" not in str(caught.value)


def test_cache_depends_on_the_frozen_stages_even_without_weights(
    pictures: Path, tmp_path: Path
) -> None:
    run = settings(pictures, encoder_weights="none")
    model = dataclasses.replace(run.model, encoder="resnet18", encoder_stage="layer2")
    shapes = []
    for stage in ("relu", "maxpool", "layer1"):
        training = dataclasses.replace(run.training, fine_tune_from=stage)
        changed = dataclasses.replace(run, model=model, training=training)
        torch.manual_seed(0)
        task = prepare(changed, output=tmp_path, caches=tmp_path, device=CPU, reporter=Quiet())
        assert task.captions is not None and task.captions.source.cache is not None
        shapes.append(task.captions.source.cache.maps.shape)
    assert shapes == [(16, 32, 32, 64), (16, 32, 32, 64), (16, 16, 16, 64)]


def test_a_cache_in_bfloat16_is_another_one(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("captioner.runtime.has_bfloat16", lambda: True)  # else it is only slow
    maps = []
    for precision in ("float32", "bf16"):
        run = settings(pictures, cache_precision=precision)
        task = prepare(run, output=tmp_path, caches=tmp_path, device=CPU, reporter=Quiet())
        assert task.captions is not None and task.captions.source.cache is not None
        maps.append(task.captions.source.cache.read(0, 0, mirrored=False).float())
    assert 0 < (maps[1] - maps[0]).norm() < 0.1 * maps[0].norm()
    assert len(list(tmp_path.glob("*.f16"))) == 2


def test_training_takes_the_whole_picture_or_one_of_its_cached_crops(
    pictures: Path, tmp_path: Path
) -> None:
    run = settings(pictures, augment=True, cached_crops=2, mirror=False)
    task = prepare(run, output=tmp_path, caches=tmp_path, device=CPU, reporter=Quiet())
    assert task.captions is not None and task.val_captions is not None
    source, seen = task.captions.source, task.val_captions.source
    assert source.cache is not None and source.cache.crops == 2
    assert seen.cache is not None and seen.cache.crops == 0  # validation sees whole pictures
    views = [View(0, seed, mirrored=False) for seed in range(6)]
    shown, _ = source.__getitems__((views, None))
    for seed, maps in enumerate(shown):
        assert isinstance(maps, torch.Tensor)
        assert torch.equal(maps, source.cache.read(0, seed % 3, False))


def test_crops_are_not_cached_where_the_whole_encoder_is_trained(
    pictures: Path, tmp_path: Path
) -> None:
    run = settings(pictures, augment=True, cached_crops=2, fine_tune_from="features.0")
    with pytest.raises(CaptionerError, match="cached_crops is 2, but the whole encoder is trained"):
        prepare(run, output=tmp_path, caches=tmp_path, device=CPU, reporter=Quiet())


def test_log_of_a_resumed_run_has_no_duplicates(tmp_path: Path) -> None:
    log = TrainingLog(tmp_path / "log.jsonl")
    kept = [{"step": 4, "loss": 2.0}, {"step": 4, "epoch": 1, "CIDEr": 0.1}, {"step": 8, "loss": 1}]
    for record in [*kept, {"step": 8, "epoch": 2, "CIDEr": 0.2}, {"step": 9, "loss": 0.5}]:
        log.write(record)
    log.cut(8, epoch=1)  # stopped between the scores of epoch 2 and the state that counts it
    assert log.records() == kept
