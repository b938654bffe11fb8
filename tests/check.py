"""Every check, in order: format, lint, types, imports, tests; stops at the first that fails."""

import subprocess
import sys
from pathlib import Path

CHECKS = (
    ("ruff", "format", "--check", "."),
    ("ruff", "check", "."),
    ("mypy",),
    ("importlinter", "lint"),
    ("pytest",),
)


def main() -> None:
    for check in CHECKS:
        print("$", *check, flush=True)
        done = subprocess.run(
            [sys.executable, "-m", *check], cwd=Path(__file__).parents[1], check=False
        )
        if done.returncode:
            sys.exit(f"{' '.join(check)} failed")


if __name__ == "__main__":
    main()
