"""The JSON of the web API's answers."""

from pydantic import BaseModel, Field

Map = list[list[float]]


class Word(BaseModel):
    """A word and its probability given the picture and the words before it."""

    word: str
    probability: float


class WrittenWord(Word):
    """A word of a caption."""

    looked: str = Field(description='where its attention is greatest, such as "upper left"')
    runners_up: list[Word] | None = Field(
        description="with runners_up: the most probable other words here; "
        '"<end>" would have ended the caption'
    )


class Caption(BaseModel):
    """A caption of the picture."""

    text: str
    log_probability: float = Field(description="natural logarithm, including the end")
    confidence: float = Field(description="the expected share of right words")
    words: list[WrittenWord]
    attention: list[Map] | None = Field(
        description="with attention: one map per word, a list of rows; each sums to 1 and covers "
        "the picture"
    )


class Captions(BaseModel):
    """The answer of /api/caption."""

    captions: list[Caption] = Field(description="best first")
    picture: str | None = Field(
        description="with preview: the picture upright and small, as a data: address of a JPEG"
    )


class Choice(BaseModel):
    """A possible answer."""

    text: str
    probability: float


class Answer(BaseModel):
    """What /api/answer answers."""

    question: str
    text: str
    probability: float
    top: list[Choice] = Field(description="the likeliest answers, best first")
    looked: list[str] = Field(description="where the attention of each look is greatest")
    attention: list[Map] = Field(description="one map per look, a list of rows")


class Decoding(BaseModel):
    """How captions are searched for unless a request says otherwise."""

    beam_size: int
    num_captions: int
    max_words: int


class Sample(BaseModel):
    """A picture to try."""

    address: str = Field(description="on this server")
    text: str = Field(description="what it shows")


class About(BaseModel):
    """What this server can do."""

    version: str
    writes: bool = Field(description="whether the checkpoint writes captions")
    answers: bool = Field(description="whether the checkpoint answers questions")
    decoding: Decoding
    max_bytes: int = Field(description="of a request")
    max_pixels: int = Field(description="of a picture")
    fetches: bool = Field(description="whether /api/fetch is there")
    samples: list[Sample]


class Error(BaseModel):
    """Why there is no answer, in one line."""

    error: str
