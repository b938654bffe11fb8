"""captioner bulk on a Ray cluster of two processors on this machine."""

import json
import logging
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from helpers import make_picture

from captioner import cli
from captioner.bulk import engines
from captioner.bulk import run as bulk_run
from captioner.bulk.engines import MAX_ATTEMPTS, Cluster
from captioner.bulk.parts import FilesPart, Part
from captioner.bulk.worker import Job, NumberedPart, Outcome, digest_of
from captioner.config.settings import DecodingConfig
from captioner.errors import CaptionerError, CaptionerWarning

JOB = Job("out", "jsonl", None, "", DecodingConfig(), batch_size=4, device=None)


@dataclass(frozen=True)
class KillingPart:
    """A part that kills the worker, once, when half of its pictures have been given."""

    part: FilesPart
    marker: str

    @property
    def name(self) -> str:
        return self.part.name

    def pictures(self) -> Iterator[tuple[str, Any]]:
        for number, picture in enumerate(self.part.pictures()):
            if number == len(self.part.names) // 2 and not os.path.exists(self.marker):
                Path(self.marker).touch()
                os.kill(os.getpid(), signal.SIGKILL)
            yield picture


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    ray = pytest.importorskip("ray")
    engines._import_ray()
    ray.init(
        num_cpus=2,
        object_store_memory=100 * 2**20,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield ray
    ray.shutdown()


def test_a_killed_worker_loses_nothing_and_doubles_nothing(
    ray, tmp_path, tiny_checkpoint, monkeypatch, capfd
):
    """The captions are those of captioner caption; stdout has the folder alone."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for seed in range(30):
        Path(f"photos/{seed:02}.png").write_bytes(make_picture(seed))
    Path("photos/07.png").write_text("not a picture")
    list_parts = bulk_run.list_parts

    def killing(*arguments: Any, **options: Any) -> list[Part]:
        first, second, *others = list_parts(*arguments, **options)
        assert isinstance(second, FilesPart)
        return [first, KillingPart(second, str(tmp_path / "killed")), *others]

    monkeypatch.setattr(bulk_run, "list_parts", killing)
    options = ["--engine", "ray", "--pictures-per-part", "4", "--batch-size", "2"]
    status, out, err = run(
        capfd, "bulk", "photos", "--output", "out", *options, "--checkpoint", str(tiny_checkpoint)
    )
    assert (status, out) == (1, "out\n")  # one is no picture
    assert Path("killed").exists() and err.count("a worker has ended") == 1
    assert "30 pictures, 1 of them unreadable" in err and "Traceback" not in err
    files = sorted(Path("out").glob("part-*"))
    assert [file.name for file in files] == [f"part-{number:08}.jsonl" for number in range(8)]
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert [row["picture"] for row in rows] == [f"photos/{seed:02}.png" for seed in range(30)]
    _, said, _ = run(capfd, "caption", "photos", "--checkpoint", str(tiny_checkpoint))
    expected = dict(line.split("\t") for line in said.splitlines())
    assert {row["picture"]: row["caption"] for row in rows if not row["error"]} == expected
    status, _, err = run(
        capfd, "bulk", "photos", "--output", "out", *options, "--checkpoint", str(tiny_checkpoint)
    )
    assert status == 0 and "8 of 8 parts are done already" in err


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = cli.run(list(arguments))
    captured = capfd.readouterr()
    return status, captured.out, captured.err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"checkpoint": Path("gone")}, "gone: no such checkpoint file"),
        ({"digest": "0"}, "another checkpoint than the one where the run was started"),
        ({"version": "0.1"}, "is installed here, 0.1 where the run was started"),
    ],
)
def test_a_worker_with_another_model_says_so_before_it_works(tiny_checkpoint, change, message):
    job = replace(JOB, checkpoint=tiny_checkpoint, digest=digest_of(tiny_checkpoint), device="cpu")
    assert engines._Actor(job).start() is None
    error = engines._Actor(replace(job, **change)).start()
    assert isinstance(error, CaptionerError) and message in str(error)


def test_a_worker_that_cannot_fit_is_refused(ray):
    with pytest.raises(CaptionerError, match="each takes 3 processors and 0 GPUs, the cluster has"):
        next(engines.caption_on_ray(JOB, [], Cluster(cpus=3)))
    with pytest.raises(CaptionerError, match="no worker fits: each takes 1 processors and 1 GPUs"):
        next(engines.caption_on_ray(JOB, [], Cluster(gpus=1)))


def test_a_cluster_that_does_not_answer_is_one_line(tmp_path, monkeypatch, capfd):
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.chdir(tmp_path)
    Path("a.png").write_bytes(make_picture(0))
    status, out, err = run(
        capfd, "bulk", "*.png", "--output", "out", "--engine", "ray", "--address", "127.0.0.1:9"
    )
    assert (status, out) == (2, "")
    assert "--address 127.0.0.1:9: no Ray cluster answers there" in err
    assert err.count("error:") == 1 and "Traceback" not in err


class Reference:
    def __init__(self, answer: object) -> None:
        self.answer = answer


class FakeRay:
    """A cluster whose workers do what a script says: a list of answers for each, in turn."""

    class exceptions:
        RayError = RuntimeError

    def __init__(self, *scripts: list[object]) -> None:
        self.scripts = [list(script) for script in scripts]
        self.started = 0

    def remote(self, job: Job) -> Any:
        script = self.scripts[self.started]
        self.started += 1

        class Method:
            def remote(self, *_: object) -> Reference:
                return Reference(script.pop(0))

        return type("Worker", (), {"start": Method(), "caption": Method()})()

    def wait(self, references: list[Any]) -> tuple[list[Any], list[Any]]:
        return references[:1], references[1:]

    def get(self, reference: Any) -> Any:
        if isinstance(reference.answer, RuntimeError):
            raise reference.answer
        return reference.answer

    def kill(self, worker: Any) -> None:
        pass


def outcomes(fake: FakeRay, parts: int, workers: int) -> list[Outcome]:
    pool = engines._Pool(fake, fake, JOB)
    numbered = [NumberedPart(number, FilesPart("", (f"{number}",))) for number in range(parts)]
    return list(pool.run(numbered, workers))


FINE = Outcome(1, 0)


def test_a_worker_that_cannot_work_is_left_out_and_its_part_is_done_by_another():
    unfit = CaptionerError("no checkpoint here")
    with pytest.warns(CaptionerWarning, match="a worker is left out: no checkpoint here") as said:
        assert outcomes(FakeRay([unfit], [None, FINE, FINE]), parts=2, workers=2) == [FINE, FINE]
    assert len(said) == 1
    full = CaptionerError("the disk is full")
    with pytest.warns(CaptionerWarning, match="the disk is full"):
        assert outcomes(FakeRay([None, full], [None, FINE, FINE]), 2, 2) == [FINE, FINE]
    with pytest.raises(CaptionerError, match="no worker is left: no checkpoint here"):
        outcomes(FakeRay([unfit]), parts=2, workers=1)


def test_a_part_that_ends_every_worker_is_left_out_and_the_others_go_on():
    end = RuntimeError("the process was killed\nand more")
    fake = FakeRay([None, end], [None, end], [None, end], [None, FINE])
    with pytest.warns(
        CaptionerWarning, match="ended \\(the process was killed\\); another one takes"
    ):
        lost, fine = outcomes(fake, parts=2, workers=1)
    assert (lost.pictures, lost.is_written, fine) == (0, False, FINE)
    assert f"left out, since {MAX_ATTEMPTS} workers ended" in str(lost.problem)
    assert fake.started == MAX_ATTEMPTS + 1


def test_a_worker_that_never_starts_is_not_started_for_ever():
    gone = RuntimeError("no module named captioner")
    with pytest.raises(CaptionerError, match="no worker is left: it does not start"):
        outcomes(FakeRay([gone]), parts=1, workers=1)
