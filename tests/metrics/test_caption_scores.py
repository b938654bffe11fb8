"""Caption scores: worked by hand, and compared with nltk and the official code."""

import contextlib
import io
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from captioner import CaptionerError
from captioner.metrics import bleu, score_captions
from captioner.metrics.caption_scores import distinct, diversity, find_warnings, repeats
from captioner.metrics.cider import CiderD, cider_d
from captioner.metrics.rouge import rouge_l

NLG_EVAL = Path(__file__).parents[3] / "shared" / "data" / "metrics" / "nlg_eval"

sentence = st.lists(st.sampled_from("abcde"), max_size=9)
references = st.lists(
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=9), min_size=1, max_size=5
)
corpora = st.lists(st.tuples(sentence, references), min_size=1, max_size=7)
long_corpora = st.lists(
    st.tuples(st.lists(st.sampled_from("abcde"), min_size=4, max_size=9), references),
    min_size=1,
    max_size=7,
)
SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
Corpus = list[tuple[list[str], list[list[str]]]]


def split(text: str) -> list[str]:
    return text.split()


# --- BLEU ---
def test_bleu_by_hand() -> None:
    # 4 of 5 words, 2 of 4 bigrams and 1 of 3 trigrams are in the reference; a word is missing.
    scores = bleu.bleu([split("a dog runs on grass")], [[split("the dog runs on green grass")]])
    short = math.exp(1 - 6 / 5)
    assert scores[0] == pytest.approx(4 / 5 * short)
    assert scores[1] == pytest.approx(math.sqrt(4 / 5 * 2 / 4) * short)
    assert scores[2] == pytest.approx((4 / 5 * 2 / 4 * 1 / 3) ** (1 / 3) * short)
    assert scores[3] == pytest.approx(0, abs=1e-3)


def test_bleu_clips_at_the_largest_reference_count() -> None:
    counts = bleu.count([split("the the the")], [[split("the cat"), split("the the")]])
    assert counts.matches[0].tolist() == [2, 1, 0, 0]
    assert counts.ngrams[0].tolist() == [3, 2, 1, 0]


def test_bleu_uses_the_closest_reference_length_or_the_shorter_of_two() -> None:
    texts = [split("a b"), split("a b c d"), split("a b c d e f g")]
    assert bleu.count([split("a b c")], [texts]).reference_lengths.tolist() == [2]


@SLOW
@given(long_corpora)
def test_bleu_equals_nltk_if_all_captions_have_four_words(corpus: Corpus) -> None:
    from nltk.translate.bleu_score import SmoothingFunction, corpus_bleu

    candidates, texts = [words for words, _ in corpus], [texts for _, texts in corpus]
    counts = bleu.count(candidates, texts)
    if not counts.matches.sum(0).all():  # nltk and the official code smooth zeros differently
        return
    expected = corpus_bleu(texts, candidates, smoothing_function=SmoothingFunction().method0)
    assert bleu.bleu(candidates, texts)[3] == pytest.approx(expected, abs=1e-8)


# --- ROUGE-L ---
def test_rouge_by_hand() -> None:
    # "a c d" is the longest common subsequence: precision 3/4, recall 3/5.
    precision, recall = 3 / 4, 3 / 5
    expected = (1 + 1.44) * precision * recall / (recall + 1.44 * precision)
    assert rouge_l([split("a c x d")], [[split("a b c d e")]])[0] == pytest.approx(expected)


def test_rouge_takes_the_best_precision_and_recall_over_references() -> None:
    texts = [split("a"), split("a b c d e f")]  # recall 1 and precision 1
    assert rouge_l([split("a b c")], [texts])[0] == pytest.approx(1)


# --- CIDEr ---
def test_cider_by_hand() -> None:
    # Two pictures. Of "dog runs" both words are in one picture only: weight log 2 each. The
    # candidate shares "dog" and its length: cosine 1/2 for n = 1, and 0 for n = 2 to 4.
    scores = cider_d([split("dog sits"), []], [[split("dog runs")], [split("cat")]])
    assert scores[0] == pytest.approx(10 * (1 / 2) / 4)
    assert scores[1] == 0


def test_cider_is_ten_for_the_reference_itself_and_zero_for_common_words() -> None:
    texts = [split("the dog runs fast"), split("the cat sits still")]
    assert cider_d(texts, [[text] for text in texts]) == pytest.approx([10, 10])
    assert cider_d([["the"], ["the"]], [[text] for text in texts]) == pytest.approx([0, 0])


def test_cider_penalises_length_and_does_not_reward_repetition() -> None:
    texts = [[split("dog runs on grass")], [split("cat sits by water")]]
    once, more = cider_d([split("dog runs"), split("dog runs dog runs dog runs")], texts[:1] * 2)
    exact, long = CiderD(texts).score([texts[0][0], [*texts[0][0], "x"]], [0, 0])
    assert more <= once
    assert exact == pytest.approx(10)
    assert long < exact * math.exp(-1 / 72)


@SLOW
@given(corpora, st.data())
def test_cider_scores_do_not_depend_on_the_batch(corpus: Corpus, data: st.DataObject) -> None:
    candidates, texts = [words for words, _ in corpus], [texts for _, texts in corpus]
    whole = cider_d(candidates, texts)
    picks = data.draw(st.lists(st.integers(0, len(corpus) - 1), max_size=12))
    batch = CiderD(texts).score([candidates[pick] for pick in picks], picks)
    np.testing.assert_allclose(batch, whole[picks], atol=1e-12)


# --- all, compared with the official code ---
@SLOW
@given(corpora)
def test_all_scores_equal_the_official_code(corpus: Corpus) -> None:
    pytest.importorskip("pycocoevalcap")
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    candidates, texts = [words for words, _ in corpus], [texts for _, texts in corpus]
    joined = {key: [" ".join(words)] for key, words in enumerate(candidates)}
    joined_texts = {key: [" ".join(words) for words in group] for key, group in enumerate(texts)}
    with contextlib.redirect_stdout(io.StringIO()):
        corpus_bleu, each_bleu = Bleu(4).compute_score(joined_texts, joined)
    counts = bleu.count(candidates, texts)
    np.testing.assert_allclose(bleu.corpus(counts), corpus_bleu, atol=1e-12)
    np.testing.assert_allclose(bleu.per_picture(counts).T, each_bleu, atol=1e-12)
    np.testing.assert_allclose(
        rouge_l(candidates, texts), Rouge().compute_score(joined_texts, joined)[1], atol=1e-12
    )
    np.testing.assert_allclose(
        cider_d(candidates, texts), Cider().compute_score(joined_texts, joined)[1], atol=1e-9
    )


def test_scores_published_with_nlg_eval() -> None:
    if not NLG_EVAL.is_dir():
        pytest.skip("needs the published example")
    candidates, first, second = (
        (NLG_EVAL / name).read_text().splitlines() for name in ("hyp.txt", "ref1.txt", "ref2.txt")
    )
    scores = score_captions(
        dict(enumerate(candidates)), dict(enumerate(map(list, zip(first, second, strict=True))))
    )
    published = {
        "BLEU-1": 0.55, "BLEU-2": 0.428174, "BLEU-3": 0.284043, "BLEU-4": 0.201143,
        "ROUGE-L": 0.522104, "CIDEr": 1.242192,
    }  # fmt: skip
    assert scores.values == pytest.approx(published, abs=1e-6)


@pytest.mark.parametrize("score", [bleu.bleu, rouge_l, cider_d])
def test_unequal_numbers_and_missing_references_raise(score: object) -> None:
    assert callable(score)
    with pytest.raises(CaptionerError, match="got 2 candidates for 1 pictures"):
        score([["a"], ["b"]], [[["a"]]])
    with pytest.raises(CaptionerError, match="references for every picture; 1 has none"):
        score([["a"], ["b"]], [[["a"]], []])


def test_picture_index_out_of_range_raises() -> None:
    with pytest.raises(CaptionerError, match="knows pictures 0 to 0, got 0 to 1"):
        CiderD([[["a"]]]).score([["a"], ["a"]], [0, 1])
    with pytest.raises(CaptionerError, match="at least one picture"):
        CiderD([])


# --- all at once ---
def test_score_captions_tokenizes_and_keeps_order() -> None:
    texts = {"x": ["A dog runs on the grass.", "The dog runs"], "y": ["Two cats sit still."]}
    scores = score_captions({"y": "two cats sit still", "x": "A dog runs on the grass!"}, texts)
    assert scores.pictures == ("x", "y")
    assert scores.values["BLEU-4"] == pytest.approx(1, abs=1e-6)
    assert scores.per_picture["ROUGE-L"].tolist() == [1, 1]
    assert scores.values["CIDEr"] == pytest.approx(scores.per_picture["CIDEr"].mean())


def test_one_and_a_half_is_two_words_for_bleu_and_one_for_rouge() -> None:
    scores = score_captions({1: "1 1/2 dogs"}, {1: ["1 1/2 cats"]})
    assert scores.bleu_counts.lengths.tolist() == [3]
    assert scores.per_picture["ROUGE-L"].tolist() == [pytest.approx(1 / 2)]


def test_signature_is_complete_and_the_same_in_every_process() -> None:
    texts = {1: ["a dog", "the dog"], 2: ["a cat"]}
    candidates = {1: "a dog", 2: "a cat"}
    code = (
        "from captioner.metrics import score_captions as score;"
        f"scores = score({candidates!r}, {texts!r}, decoding='beam5');"
        "print(scores.signature, scores.values)"
    )
    scores = score_captions(candidates, texts, decoding="beam5")
    again = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert again == f"{scores.signature} {scores.values}\n"
    for part in ("pictures:2|", "references:1-2|", "tokenizer:ptb", "decoding:beam5|", "CIDEr"):
        assert part in scores.signature
    partial = score_captions({1: "a dog"}, texts, allow_partial=True)
    assert "pictures:1 of 2, partial|" in partial.signature


# --- diversity and warnings ---
def test_diversity_by_hand() -> None:
    captions = [split("a dog runs"), split("a dog runs"), split("a cat")]
    assert distinct(captions, 1) == pytest.approx(4 / 8)
    assert distinct(captions, 2) == pytest.approx(3 / 5)
    measures = diversity(captions, seen=[split("a cat")])
    assert measures["vocabulary"] == 4
    assert measures["different captions"] == pytest.approx(2 / 3)
    assert measures["words a caption"] == pytest.approx(8 / 3)
    assert measures["novel captions"] == pytest.approx(2 / 3)
    assert distinct([], 1) == 0


def test_warnings_for_shared_repeating_and_empty_captions() -> None:
    different = [[f"word{number}", "here"] for number in range(30)]
    assert find_warnings(different) == ()
    assert "serves 4 of 34 pictures: 'a dog'" in find_warnings(different + [["a", "dog"]] * 4)[0]
    assert find_warnings(different + [["a", "dog"]] * 3) == ()
    assert "repeat themselves" in find_warnings([*different, split("a dog dog")])[0]
    assert "1 of 31 captions have no words" in find_warnings([*different, []])[0]


def test_a_letter_with_an_accent_is_the_same_however_it_is_stored() -> None:
    stored = ["ein grüner kühlschrank steht", "ein gru\u0308ner ku\u0308hlschrank steht"]
    for written, other in (stored, stored[::-1]):
        scores = score_captions({1: written, 2: "a cat"}, {1: [other], 2: ["a cat"]})
        assert scores.values["BLEU-1"] == pytest.approx(1)
        assert scores.values["ROUGE-L"] == pytest.approx(1)


def test_a_warning_stays_short_whatever_the_captions_are() -> None:
    for warning in find_warnings([["dog"] * 5000] * 40):
        assert len(warning) < 300


@pytest.mark.parametrize("caption", ["<start> a dog <end>", "startseq a dog endseq", "a [UNK]"])
def test_markers_of_models_are_said(caption: str) -> None:
    scores = score_captions({1: caption, 2: "a cat"}, {1: ["a dog"], 2: ["a cat"]})
    assert any("1 of 2 captions contain markers" in warning for warning in scores.warnings)


def test_repeats() -> None:
    assert repeats(split("a dog on a dog on grass")) and repeats(split("a a"))
    assert not repeats(split("a dog and a cat and a bird"))
