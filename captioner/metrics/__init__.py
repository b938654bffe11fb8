"""Scores for captions that equal the official COCO ones, without Java."""

from captioner.metrics.scores import CaptionScores, score_captions

__all__ = ["CaptionScores", "score_captions"]
