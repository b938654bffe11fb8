"""Every check, in order: format, lint, types, imports, tests; stops at the first that fails."""

import subprocess
import sys
from pathlib import Path

CHECKS = (
    ("-m", "ruff", "format", "--check", "."),
    ("-m", "ruff", "check", "."),
    ("-m", "mypy"),
    ("-c", "from importlinter.cli import lint_imports_command as lint; lint()"),
    ("-m", "pytest"),
)


def main() -> None:
    for check in CHECKS:
        print("$ python", *check, flush=True)
        done = subprocess.run([sys.executable, *check], cwd=Path(__file__).parents[1], check=False)
        if done.returncode:
            sys.exit(f"{' '.join(check)} failed")


if __name__ == "__main__":
    main()
