"""The score report: one HTML file with scores, histograms, and the worst and best pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from string import Template

import numpy as np

from captioner.files import asset
from captioner.metrics.bootstrap import Difference, Interval
from captioner.metrics.caption_scores import CaptionScores
from captioner.metrics.result_files import Id
from captioner.visualization.content_policy import content_policy

SHOWN = 50  # worst pictures, and as many best ones
BINS = 20
ORDERED_BY = "CIDEr"
_NUMBER = ' class="number"'


@dataclass(frozen=True)
class Comparison:
    """Other results for the same pictures, and how far these differ from them."""

    name: str
    captions: Mapping[Id, str]
    scores: CaptionScores
    differences: Mapping[str, Difference]


def shown_pictures(scores: CaptionScores, comparison: Comparison | None = None) -> list[int]:
    """The rows of the pictures that the report shows, the worst first.

    They are the worst and the best by CIDEr or, in a comparison, by the difference in CIDEr.
    """
    order = [int(row) for row in np.argsort(_order_values(scores, comparison), kind="stable")]
    return order if len(order) <= 2 * SHOWN else order[:SHOWN] + order[-SHOWN:]


def page_html(
    title: str,
    scores: CaptionScores,
    intervals: Mapping[str, Interval],
    candidates: Mapping[Id, str],
    references: Mapping[Id, Sequence[str]],
    *,
    comparison: Comparison | None = None,
    pictures: Mapping[Id, str] | None = None,
) -> str:
    """Make the HTML page of scores; it loads nothing from elsewhere.

    title: the name of the results; intervals: see `captioner.metrics.bootstrap.intervals`;
    candidates: picture id -> caption; references: picture id -> reference captions; pictures:
    picture id -> the picture as a data: address, for those that are to be shown.
    """
    shown = shown_pictures(scores, comparison)
    names = ("style.css", "score_report.css", "score_report.js", "score_report.html")
    style, layout, script, page = (asset("captioner.visualization", name) for name in names)
    return Template(page).substitute(
        policy=content_policy([style, layout], [script]),
        style=style,
        layout=layout,
        script=script,
        title=escape(f"Scores of {title}"),
        warnings="\n".join(
            f'<p class="warning">{escape(warning)}</p>' for warning in scores.warnings
        ),
        score_columns=_score_columns(title, comparison),
        scores="\n".join(_score_row(name, scores, intervals, comparison) for name in scores.values),
        signature=escape(scores.signature),
        charts="\n".join(_histogram(*item) for item in scores.per_picture.items()),
        heading=_heading(scores, shown, comparison),
        orders="\n".join(
            f"<option>{escape(name)}</option>" for name in _picture_values(scores, 0, comparison)
        ),
        pictures="\n".join(
            _picture(scores, row, candidates, references, comparison, pictures or {})
            for row in shown
        ),
    )


def _order_values(scores: CaptionScores, comparison: Comparison | None) -> np.ndarray:
    values = scores.per_picture[ORDERED_BY]
    return values if comparison is None else values - comparison.scores.per_picture[ORDERED_BY]


def _heading(scores: CaptionScores, shown: Sequence[int], comparison: Comparison | None) -> str:
    by = ORDERED_BY if comparison is None else f"difference in {ORDERED_BY}"
    if len(shown) < len(scores.pictures):
        return f"The {SHOWN} worst and the {SHOWN} best pictures by {by}"
    return f"Every picture, by {by}"


def _score_columns(title: str, comparison: Comparison | None) -> str:
    columns = [title]
    if comparison is not None:
        columns += [comparison.name, "Difference"]
    cells = (f'<th scope="col"{_NUMBER}>{escape(column)}</th>' for column in columns)
    return '<th scope="col">Score</th>' + "".join(cells)


def _score_row(
    name: str,
    scores: CaptionScores,
    intervals: Mapping[str, Interval],
    comparison: Comparison | None,
) -> str:
    found = intervals.get(name)
    interval = f"<small>{found.low:.3f} to {found.high:.3f}</small>" if found else ""
    cells = [f"{scores.values[name]:.4f}{interval}"]
    if comparison is not None:
        cells.append(f"{comparison.scores.values[name]:.4f}")
        gap = comparison.differences.get(name)
        cells.append(
            f"{gap.value:+.4f}<small>{gap.low:+.3f} to {gap.high:+.3f}</small>"
            f"<small>p {gap.p_value:.3f}</small>"
            if gap
            else ""
        )
    numbers = "".join(f"<td{_NUMBER}>{cell}</td>" for cell in cells)
    return f'<tr><th scope="row">{escape(name)}</th>{numbers}</tr>'


def _picture_values(
    scores: CaptionScores, row: int, comparison: Comparison | None
) -> dict[str, float]:
    """The numbers of a picture: that by which the pictures are ordered first."""
    values = {name: float(values[row]) for name, values in scores.per_picture.items()}
    first = float(_order_values(scores, comparison)[row])
    name = ORDERED_BY if comparison is None else f"Difference in {ORDERED_BY}"
    return {name: first} | values


def _picture(
    scores: CaptionScores,
    row: int,
    candidates: Mapping[Id, str],
    references: Mapping[Id, Sequence[str]],
    comparison: Comparison | None,
    pictures: Mapping[Id, str],
) -> str:
    picture = scores.pictures[row]
    values = _picture_values(scores, row, comparison)
    address = pictures.get(picture)
    image = f'<img src="{escape(address)}" alt="" loading="lazy">' if address else ""
    other = ""
    if comparison is not None:
        who, caption = escape(comparison.name), escape(comparison.captions[picture])
        other = f'<p class="other"><span class="who">{who}</span>{caption}</p>'
    texts = "".join(f"<li>{escape(text)}</li>" for text in references[picture])
    numbers = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{value:.3f}</dd></div>" for name, value in values.items()
    )
    return (
        f'<article class="{"pictured" if image else ""}" data-values="'
        f'{" ".join(f"{value:.6g}" for value in values.values())}">{image}<div>'
        f'<p class="caption">{escape(candidates[picture])}</p>{other}'
        f'<span class="who">References</span><ul>{texts}</ul><dl>{numbers}</dl>'
        f'<p class="name">{escape(str(picture))}</p></div></article>'
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
        f'<figure><svg viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="Histogram of {escape(name)}">{bars}</svg>'
        f"<figcaption>{escape(name)}, {edges[0]:.2f} to {edges[-1]:.2f}</figcaption></figure>"
    )
