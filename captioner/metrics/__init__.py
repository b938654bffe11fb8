"""Scores for captions and answers that equal the official ones, without Java."""

from captioner.metrics.caption_scores import CaptionScores, score_captions
from captioner.metrics.vqa_accuracy import AnswerScores, score_answers

__all__ = ["AnswerScores", "CaptionScores", "score_answers", "score_captions"]
