"""Scores of captions and answers, equal to the official ones and without Java.

In: captions or answers by id, and the references or the answers that people gave. Out:
CaptionScores and AnswerScores, with 95% intervals and a signature. METRICS in caption_scores.py is
the table of caption metrics.
"""

from captioner.metrics.caption_scores import CaptionScores, score_captions
from captioner.metrics.vqa_accuracy import AnswerScores, score_answers

__all__ = ["AnswerScores", "CaptionScores", "score_answers", "score_captions"]
