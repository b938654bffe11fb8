"""The content security policy of pages that are one file."""

import base64
import hashlib
from collections.abc import Sequence


def content_policy(styles: Sequence[str], scripts: Sequence[str]) -> str:
    """A policy that allows these styles and scripts, pictures in data: addresses, and no more."""
    return (
        f"default-src 'none'; img-src data:; style-src {_digests(styles)}; "
        f"script-src {_digests(scripts)}; base-uri 'none'; form-action 'none'"
    )


def _digests(texts: Sequence[str]) -> str:
    digests = [hashlib.sha256(text.encode()).digest() for text in texts]
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
