"""Fits several runs one after the other, in each process that torchrun starts.

python -m torch.distributed.run --nproc-per-node 2 fits_in_processes.py FOLDER

FOLDER holds a file NAME.toml for each run; what it fits goes into FOLDER/NAME, and goes on if that
is there. A run named "stopped" is stopped in its first epoch, by the first process alone.
"""

import sys
from contextlib import suppress
from pathlib import Path

import torch
from helpers import Quiet

from captioner.config.toml_file import read_stages
from captioner.training import distributed
from captioner.training.setup import Interrupted
from captioner.training.stages import fit_stages


def main() -> None:
    folder = Path(sys.argv[1])
    with distributed.joined("cpu") as device:
        assert device == torch.device("cpu")
        for file in sorted(folder.glob("*.toml")):
            output = folder / file.stem
            resume = distributed.from_first(output.exists())
            stops = file.stem == "stopped" and distributed.is_first()
            # It is asked once for each of two caches, and then after every step.
            reporter = Quiet(stop_after=4 if stops else None)
            stages = read_stages(file)
            with suppress(Interrupted):
                fit_stages(stages, output, device=device, resume=resume, reporter=reporter)
            distributed.wait_for_all()


if __name__ == "__main__":
    main()
