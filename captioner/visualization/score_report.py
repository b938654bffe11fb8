"""The score report: one HTML file with histograms and a sortable table of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from string import Template

import numpy as np

from captioner.files import asset
from captioner.metrics.bootstrap import Interval
from captioner.metrics.caption_scores import CaptionScores
from captioner.metrics.result_files import Id

SHOWN = 50  # worst pictures, and as many best ones
BINS = 20
ORDERED_BY = "CIDEr"
_NUMBER = ' class="number"'


def page_html(
    title: str,
    scores: CaptionScores,
    intervals: Mapping[str, Interval],
    candidates: Mapping[Id, str],
    references: Mapping[Id, Sequence[str]],
) -> str:
    """Make the HTML page of scores; it loads nothing from elsewhere.

    title: the name of the results; intervals: see `captioner.metrics.bootstrap.intervals`;
    candidates: picture id -> caption; references: picture id -> reference captions.
    """
    names = list(scores.per_picture)
    shown = _worst_and_best(scores.per_picture[ORDERED_BY])
    heading = f"Every picture, by {ORDERED_BY}"
    if len(shown) < len(scores.pictures):
        heading = f"The {SHOWN} worst and the {SHOWN} best pictures by {ORDERED_BY}"
    columns = ["Picture", "Caption and references", *names]
    template = asset("captioner.visualization", "score_report.html")
    return Template(template).substitute(
        title=escape(f"Scores of {title}"),
        warnings="\n".join(
            f'<p class="warning">{escape(warning)}</p>' for warning in scores.warnings
        ),
        scores="\n".join(
            _score_row(name, value, intervals.get(name)) for name, value in scores.values.items()
        ),
        signature=escape(scores.signature),
        charts="\n".join(_histogram(name, scores.per_picture[name]) for name in names),
        heading=escape(heading),
        columns="\n".join(
            f'<th scope="col"{_NUMBER if index > 1 else ""}><button>{escape(name)}</button></th>'
            for index, name in enumerate(columns)
        ),
        rows="\n".join(_picture_row(scores, row, candidates, references) for row in shown),
    )


def _worst_and_best(values: np.ndarray) -> list[int]:
    order = [int(row) for row in np.argsort(values, kind="stable")]
    return order if len(order) <= 2 * SHOWN else order[:SHOWN] + order[-SHOWN:]


def _score_row(name: str, value: float, interval: Interval | None) -> str:
    spread = f"{interval.low:.4f} to {interval.high:.4f}" if interval else ""
    return (
        f'<tr><th scope="row">{escape(name)}</th><td{_NUMBER}>{value:.4f}</td>'
        f"<td{_NUMBER}>{spread}</td></tr>"
    )


def _picture_row(
    scores: CaptionScores,
    row: int,
    candidates: Mapping[Id, str],
    references: Mapping[Id, Sequence[str]],
) -> str:
    picture = scores.pictures[row]
    caption = escape(candidates[picture])
    texts = "".join(f"<li>{escape(text)}</li>" for text in references[picture])
    numbers = "".join(
        f'<td{_NUMBER} data-value="{values[row]:.6g}">{values[row]:.3f}</td>'
        for values in scores.per_picture.values()
    )
    return (
        f'<tr><td>{escape(str(picture))}</td><td data-value="{caption}">{caption}'
        f"<ul>{texts}</ul></td>{numbers}</tr>"
    )


def _histogram(name: str, values: np.ndarray) -> str:
    """Draw a histogram of the scores of pictures as an SVG."""
    width, height = 220, 90
    heights, edges = np.histogram(values[np.isfinite(values)], bins=BINS)
    bar = width / BINS
    tallest = max(1, heights.max())
    bars = "".join(
        f'<rect x="{index * bar:.1f}" y="{height * (1 - number / tallest):.1f}" '
        f'width="{bar - 1:.1f}" height="{height * number / tallest:.1f}">'
        f"<title>{edges[index]:.3f} to {edges[index + 1]:.3f}: {number}</title></rect>"
        for index, number in enumerate(heights)
    )
    return (
        f'<figure><svg width="{width}" height="{height}" role="img" '
        f'aria-label="Histogram of {escape(name)}">{bars}</svg>'
        f"<figcaption>{escape(name)}, {edges[0]:.2f} to {edges[-1]:.2f}</figcaption></figure>"
    )
