"""Fits several runs one after the other, in each process that torchrun starts.

python -m torch.distributed.run --nproc-per-node 2 fits_in_processes.py FOLDER

FOLDER holds a file NAME.toml for each run; what it fits goes into FOLDER/NAME, and goes on if that
is there. A run named "stopped" or "halves" is stopped in its first epoch, by the first process
alone; that of "halves" then goes on.
"""

import sys
from contextlib import suppress
from pathlib import Path

import torch
from helpers import Quiet

from captioner.cli import end_process
from captioner.config.toml_file import read_stages
from captioner.training import distributed
from captioner.training.setup import Interrupted
from captioner.training.stages import fit_stages


def fit_file(file: Path, device: torch.device, *, stop: bool) -> None:
    output = file.with_suffix("")
    resume = distributed.from_first(output.exists())
    # It is asked once while the feature cache is made, and then after every step.
    reporter = Quiet(stop_after=3 if stop and distributed.is_first() else None)
    with suppress(Interrupted):
        fit_stages(read_stages(file), output, device=device, resume=resume, reporter=reporter)
    distributed.wait_for_all()


def main() -> None:
    with distributed.joined("cpu") as device:
        assert device == torch.device("cpu")
        for file in sorted(Path(sys.argv[1]).glob("*.toml")):
            fit_file(file, device, stop=file.stem in ("stopped", "halves"))
            if file.stem == "halves":
                fit_file(file, device, stop=False)


if __name__ == "__main__":
    main()
    end_process(0)  # as a command does: where gloo was used, taking torch apart sometimes aborts
