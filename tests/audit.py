"""Asks PyPI which installed packages have known vulnerabilities; fails only if one has."""

import json
import subprocess
import sys
from typing import Any

COMMAND = (sys.executable, "-m", "pip_audit", "--local", "--format", "json")
SECONDS = 300

# Vulnerabilities that do not concern this project, each with the reason.
IGNORED: dict[str, str] = {}

# The project itself, and what comes with every environment.
LEFT_OUT = ("captioner", "pip", "setuptools")


def main() -> None:
    report = ask()
    if report is None:
        return
    audited = [package for package in report if "vulns" in package]
    skipped = [package["name"] for package in report if "vulns" not in package]
    found = vulnerabilities(audited)
    if not audited:
        print("nothing was audited: the vulnerability service knows none of the packages here")
    else:
        print(f"{len(audited)} packages audited, {len(found)} known vulnerabilities")
        print(f"not audited: {', '.join(skipped) or 'none'}")
    if found:
        sys.exit("\n".join(found))


def ask() -> list[dict[str, Any]] | None:
    """What pip-audit says of each package; None, with a line printed, where it cannot ask."""
    try:
        done = subprocess.run(COMMAND, capture_output=True, text=True, timeout=SECONDS, check=False)
        packages = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        print(f"nothing was audited: no answer within {SECONDS} seconds")
    except ValueError:  # it printed no JSON
        reason = (done.stderr.strip() or "pip-audit printed nothing").splitlines()[-1]
        print(f"nothing was audited: {reason}")
    else:
        return [package for package in packages if package["name"] not in LEFT_OUT]
    return None


def vulnerabilities(packages: list[dict[str, Any]]) -> list[str]:
    """A line for each vulnerability that is not in IGNORED."""
    return [
        f"{package['name']} {package['version']}: {vulnerability['id']}, "
        f"fixed in {', '.join(vulnerability['fix_versions']) or 'no release'}"
        for package in packages
        for vulnerability in package["vulns"]
        if IGNORED.keys().isdisjoint((vulnerability["id"], *vulnerability["aliases"]))
    ]


if __name__ == "__main__":
    main()
