"""Scores for captions and answers that equal the official ones, without Java."""

from captioner.metrics.answers import AnswerScores, score_answers
from captioner.metrics.scores import CaptionScores, score_captions

__all__ = ["AnswerScores", "CaptionScores", "score_answers", "score_captions"]
