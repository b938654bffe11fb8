"""The tokenizer compared with Stanford's, run as the official code runs it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from captioner.metrics.ptb_tokenizer import tokenize

DATA = Path(__file__).parents[3] / "shared" / "data"

# Text and the official tokens, each compared with the Java tokenizer by hand.
CASES = [
    ("A man riding a wave on top of a surfboard.", "a man riding a wave on top of a surfboard"),
    (
        "Two dogs, one black and one white, play in the snow!",
        "two dogs one black and one white play in the snow",
    ),
    ('A sign that says "STOP" (in red).', "a sign that says stop -lrb- in red -rrb-"),
    ('He said: "don\'t stop" ...', "he said do n't stop"),
    (
        "The man's dog isn't wearing its owner's hat",
        "the man 's dog is n't wearing its owner 's hat",
    ),
    (
        "I'm sure they'd've said you'll love we're here",
        "i 'm sure they 'd 've said you 'll love we 're here",
    ),
    (
        "cannot can't won't gonna gotta wanna gimme lemme",
        "can not ca n't wo n't gon na got ta wan na gim me lem me",
    ),
    ("'Tis the dog that 'twas", "'t is the dog that 't was"),
    (
        "y'all d'you o'clock O'Brien hors d'oeuvre ma'am",
        "y' all d'you o'clock o'brien hors d'oeuvre ma'am",
    ),
    ("rock 'n' roll rock'n'roll", "rock 'n' roll rock 'n' roll"),
    ("the '90s and the 1990's", "the '90s and the 1990 's"),
    ("the dogs' bowls", "the dogs bowls"),
    ("doesn’t it’s ‘quoted’ “quoted” o’clock", "does n't it 's quoted quoted o’clock"),
    ("colour grey theatre", "colour grey theatre"),
    ("black-and-white t-shirt with a 3-year-old", "black-and-white t-shirt with a 3-year-old"),
    ("a -ing semi- x- --flag", "a ing semi x flag"),
    ("skating/skiing and/or 1/2 3/4 1 1/2 w/o", "skating/skiing and/or 1/2 3/4 1\xa01/2 w/o"),
    (
        "10:30am at 5:54 on 12/31/2012, 1,000 people, 3.5 stars",
        "10:30 am at 5:54 on 12/31/2012 1,000 people 3.5 stars",
    ),
    ("$5 5% #1 #tag @home US$ 5", "$ 5 5 % # 1 #tag @home us$ 5"),
    ("555-1234 (555) 123-4567", "555-1234 -lrb-555-rrb-\xa0123-4567"),
    ("Mr. Smith of St. Louis etc. and Dr. Who", "mr. smith of st. louis etc. and dr. who"),
    ("at 3 p.m. in the U.S. and the U.S.A. today", "at 3 p.m. in the u.s. and the u.s.a. today"),
    ("No. 5 is a no. Fig. 3 is a fig. five", "no. 5 is a no fig. 3 is a fig five"),
    ("A sign reading K. The end", "a sign reading k the end"),
    ("A sign reading K. the end", "a sign reading k. the end"),
    ("the letter o'b. there", "the letter o b. there"),
    ("J. K. Rowling and J.K. Rowling", "j. k. rowling and j.k. rowling"),
    ("AT&T and R&B &amp; B &lt; C rock&roll", "at&t and r&b & b < c rock & roll"),
    ("F-16 MP3 4x4 2x", "f-16 mp3 4x4 2x"),
    (
        "road.many board.cabbage statefarm.com www.a-b.com",
        "road.many board.cabbage statefarm.com www.a-b.com",
    ),
    ("mail a.b@c.org, see http://x.org/a?b=c.", "mail a.b@c.org, see http://x.org/a?b=c"),
    (":) :-( ;D =P <3 ^_^ RIF=ding", ":-rrb- :--lrb- ;d =p < 3 ^_^ rif = ding"),
    ("(a) [b] {c} f(x)", "-lrb- a -rrb- -lsb- b -rsb- -lcb- c -rcb- f -lrb- x -rrb-"),
    ("? ?? ?! !!! ! . .. ... .... ,, ;; : --- ------", "?? ?! !!! ------"),
    ("* ** ~ ^ _ __ a_b = + < > | \\ /", "* ** ~ ^ _ __ a_b = + < > | \\ /"),
    ("½ ¼ 5½ £5 €5 ¢ … — – «a»", "1/2 1/4 5 1/2 # 5 $ 5 cents a"),
    ("naïve café Ñandú Привет", "naïve café ñandú привет"),
    ("😀 dog🐶cat", "dog cat"),
    ('<b>bold</b> <a href="x"> < a', '<b> bold </b> <a\xa0href="x"> < a'),
    ("a!b a?b a.b a,b a;b a:b 1.a a.1", "a!b a?b a.b a b a b a b 1 a a. 1"),
    ("kitchen.; word., word.!", "kitchen. word. word"),
    ("photo.jpg IMG_2041.JPG", "photo.jpg img_2041 jpg"),
    ("Mass. mass. La. la. Apt. 5", "mass. mass la. la apt 5"),
    ("Dunkin' Donuts, eatin' s'mores, L'Oréal", "dunkin' donuts eatin s'mores l'oréal"),
    ("McDonald's M&M's R&Bs Hawai'i c'mon", "mcdonald 's m&m 's r&b s hawai'i c'mon"),
    ("5'10 6'2\" 3-4 -5 +5 .5 5,dog", "5 '10 6 2 3-4 -5 +5 .5 5 dog"),
    ("5.5-inch 10,000-seat 1-2/3 1/2-eaten", "5.5-inch 10,000-seat 1-2/3 1/2-eaten"),
    ("call +1 555.123.4567, 555 123 4567", "call +1 555.123.4567 555\xa0123\xa04567"),
    ("<unk> <br/> a<b 3 > 2", "<unk> <br/> a < b 3 > 2"),
    ("   spaces\tand tabs  ", "spaces and tabs"),
    ("", ""),
    (".", ""),
]

WORDS = """
    dog cat a I U.S. don't it's St. Mr. No. 5 1/2 and/or o'clock t-shirt dogs' etc. p.m. 3.5
    10:30am '90s 5'10 $5 #1 #dog @home AT&T M&M's O'Brien café naïve’s well-known 5-year-old w/ ...
    – & :) 555-1234 www.a-b.com <unk> 1,000 12/31/2012 K. ma'am I'd they'll ol' 50% 2nd
"""


@pytest.mark.parametrize(("text", "tokens"), CASES, ids=[text[:30] for text, _ in CASES])
def test_tokens_equal_the_official_ones(text: str, tokens: str) -> None:
    assert " ".join(tokenize(text)) == tokens


@settings(deadline=None)
@given(st.text(max_size=40))
def test_any_text_gives_lower_case_tokens_without_spaces(text: str) -> None:
    tokens = tokenize(text)
    assert all(tokens)
    assert not any(space in token for token in tokens for space in " \n\t")
    assert [token.lower() for token in tokens] == tokens


@settings(deadline=None)
@given(st.lists(st.from_regex(r"[a-z]{2,8}", fullmatch=True), min_size=1, max_size=8))
def test_marks_around_plain_words_do_not_change_them(words: list[str]) -> None:
    alone = [token for word in words for token in tokenize(word)]
    assert tokenize(" ".join(words)) == alone
    assert tokenize(" ".join(words).upper()) == alone
    assert tokenize('"' + ", ".join(words) + '"!') == alone


def test_tokens_do_not_depend_on_earlier_calls() -> None:
    first = tokenize("A dog's bowl.")
    first.append("spoiled")
    assert tokenize("A dog's bowl.") == ["a", "dog", "'s", "bowl"]


def official_tokens(texts: list[str], folder: Path) -> list[list[str]]:
    """Run the Java tokenizer, with a line between texts so that none depends on the next."""
    module = pytest.importorskip("pycocoevalcap.tokenizer.ptbtokenizer")
    if shutil.which("java") is None:
        pytest.skip("needs Java")
    file = folder / "texts.txt"
    file.write_text("".join(f"{text}\nA dog\n" for text in texts), encoding="utf-8")
    command = ["java", "-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8"]
    command += ["-cp", str(Path(module.__file__).parent / module.STANFORD_CORENLP_3_4_1_JAR)]
    command += ["edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase", str(file)]
    result = subprocess.run(command, capture_output=True, check=True)
    lines = result.stdout.decode("utf-8").split("\n")[: 2 * len(texts) : 2]
    return [
        [word for word in line.rstrip().split(" ") if word and word not in module.PUNCTUATIONS]
        for line in lines
    ]


def test_cases_agree_with_java(tmp_path: Path) -> None:
    texts = [text for text, _ in CASES]
    assert official_tokens(texts, tmp_path) == [
        tokens.split(" ") if tokens else [] for _, tokens in CASES
    ]


def caption_like() -> st.SearchStrategy[str]:
    """Words with the marks that captions have around them."""
    around = st.sampled_from(["", "", "", '"', "(", "'"])
    after = st.sampled_from(["", "", "", ".", ",", "!", "?", ";", ":", '"', ")", "'s", '."'])
    piece = st.builds("{}{}{}".format, around, st.sampled_from(WORDS.split()), after)
    return st.lists(piece, min_size=1, max_size=6).map(" ".join)


# Java runs once for all texts, because starting it takes far longer than the texts do. Shrinking a
# failure would start it many times.
@settings(
    max_examples=3,
    deadline=None,
    phases=[Phase.generate],
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(st.lists(caption_like(), min_size=300, max_size=300))
def test_made_up_captions_agree_with_java(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    expected = official_tokens(texts, tmp_path_factory.mktemp("java"))
    pairs = zip(texts, expected, strict=True)
    assert [(text, tokens) for text, tokens in pairs if tokenize(text) != tokens] == []


def test_every_real_caption_agrees_with_java(tmp_path: Path) -> None:
    files = sorted(DATA.glob("*/captions_*.json"))
    if not files:
        pytest.skip("needs the real captions")
    texts = [
        record["caption"].replace("\n", " ")
        for file in files
        for record in json.loads(file.read_text())["annotations"]
    ]
    expected = official_tokens(texts, tmp_path)
    differing = [
        text for text, tokens in zip(texts, expected, strict=True) if tokenize(text) != tokens
    ]
    assert len(texts) > 50_000
    assert differing == []


def test_tokenizing_imports_neither_torch_nor_nltk() -> None:
    code = (
        "import captioner.metrics, sys; sys.exit('torch' in sys.modules or 'nltk' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
