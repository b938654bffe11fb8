"""captioner train in each process that torchrun starts, with a mishap in the second one.

python -m torch.distributed.run --nproc-per-node 2 train_in_processes.py MISHAP OPTIONS

MISHAP: "killed", in its fifth step; not again once torchrun has started it anew. "elsewhere", in
another folder, where the files of relative names are not there.
"""

import os
import signal
import sys
from typing import Any

from captioner.cli import main
from captioner.training import loop


def take_step(*arguments: Any) -> Any:
    if arguments[-1] == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return TRAIN_STEP(*arguments)


TRAIN_STEP = loop.train_step

if __name__ == "__main__":
    mishap = sys.argv.pop(1)
    sys.argv.insert(1, "train")
    if os.environ["RANK"] == "1":
        if mishap == "elsewhere":
            os.chdir("/")
        elif os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
            loop.train_step = take_step
    main()
