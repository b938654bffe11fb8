"""docs/onnx.md: its example runs, and its table of inputs and outputs is true."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from captioner import Captioner
from captioner.config.settings import DecodingConfig
from captioner.files import default_checkpoint
from captioner.onnx.graph_files import description_file

pytest.importorskip("onnxruntime")

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "onnx.md").read_text(encoding="utf-8")
SAMPLE = ROOT / "data" / "samples" / "camera.jpg"


def test_the_python_example_writes_the_greedy_caption() -> None:
    [example] = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    command = [sys.executable, "-c", example, str(default_checkpoint().parent), str(SAMPLE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    greedy = DecodingConfig(beam_size=1, block_ngrams=0, max_words=20)
    expected = Captioner.load(runtime="onnx").caption(SAMPLE, decoding=greedy)
    assert done.stdout == f"{expected}\n", done.stderr


def test_the_table_names_the_inputs_and_outputs() -> None:
    graphs = json.loads(description_file(default_checkpoint()).read_text())["graphs"]
    rows = dict(re.findall(r"^\| `default\.(\w+)\.onnx` \| (.*) \|$", PAGE, flags=re.MULTILINE))
    assert rows.keys() == graphs.keys()
    for name, row in rows.items():
        named = set(re.findall(r"`(\w+)`", row))
        own = {*graphs[name]["inputs"], *graphs[name]["outputs"]}
        assert {one for one in own if not one.endswith("state_1")} == {
            one for one in named if not one.endswith("state_1")
        }
