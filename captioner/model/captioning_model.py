"""The whole model: an encoder and one attention module, which decoder and answer head share."""

from typing import TYPE_CHECKING

from torch import nn

from captioner.config.settings import ModelConfig
from captioner.data.vocabulary import Vocabulary
from captioner.errors import CaptionerError
from captioner.model.answer_head import AnswerHead
from captioner.model.attention import FixedContext, SpatialAttention
from captioner.model.decoder import CaptionDecoder
from captioner.model.encoder import Encoder
from captioner.model.recurrence import Cell, StackedCells, make_cell

if TYPE_CHECKING:
    from captioner.model.sentinel import AdaptiveAttention
    from captioner.model.top_down import AttentionCell


class CaptioningModel(nn.Module):
    """All modules built from a ModelConfig, the one place where it becomes modules.

    `model.encoder(pictures)` gives the features that `model.decoder`, which writes captions, and
    `model.answers`, which answers questions, read through the same attention. The decoder is None
    without a vocabulary, the answer head without a question vocabulary; `answer_texts` are the
    answers it chooses from. Raises CaptionerError where there would be neither.
    """

    def __init__(
        self,
        config: ModelConfig,
        vocabulary: Vocabulary | None,
        question_vocabulary: Vocabulary | None = None,
        answer_texts: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        if vocabulary is None and question_vocabulary is None:
            raise CaptionerError("a model needs captions to write or questions to answer")
        self.config = config
        self.vocabulary = vocabulary
        self.question_vocabulary = question_vocabulary
        self.answer_texts = answer_texts
        self.encoder = Encoder(
            backbone=config.encoder,
            last_stage=config.encoder_stage,
            image_size=config.image_size,
            feature_size=config.feature_size,
            feature_dropout=config.feature_dropout,
        )
        attention = _attention(config)
        self.decoder: CaptionDecoder | None = None
        self.answers: AnswerHead | None = None
        if vocabulary is not None:
            cell = _cell(config)
            self.decoder = CaptionDecoder(
                attention=attention,
                sentinel=_sentinel(config, attention, cell),
                attention_cell=_attention_cell(config),
                cell=cell,
                vocabulary_size=len(vocabulary),
                feature_size=config.feature_size,
                embedding_size=config.embedding_size,
                context_gate=config.context_gate,
                embedding_dropout=config.embedding_dropout,
                hidden_dropout=config.hidden_dropout,
            )
        if question_vocabulary is not None:
            self.answers = AnswerHead(
                attention=attention,
                cell=_cell(config),
                vocabulary_size=len(question_vocabulary),
                answers=len(answer_texts),
                feature_size=config.feature_size,
                embedding_size=config.embedding_size,
                answer_size=config.answer_size,
                glimpses=config.glimpses,
                embedding_dropout=config.embedding_dropout,
                answer_dropout=config.answer_dropout,
            )

    def caption_parts(self) -> tuple[CaptionDecoder, Vocabulary]:
        """The decoder and its vocabulary; CaptionerError where the model only answers."""
        if self.decoder is None or self.vocabulary is None:
            raise CaptionerError(
                "this checkpoint answers questions but writes no captions; choose one that was "
                "trained on captions"
            )
        return self.decoder, self.vocabulary

    def answer_parts(self) -> tuple[AnswerHead, Vocabulary]:
        """The answer head and its questions' vocabulary; CaptionerError where there is none."""
        if self.answers is None or self.question_vocabulary is None:
            raise CaptionerError(
                "this checkpoint writes captions but has no answer head; choose one that was "
                "trained on questions"
            )
        return self.answers, self.question_vocabulary


def _attention(config: ModelConfig) -> SpatialAttention | FixedContext:
    if config.attention == "none":
        return FixedContext()
    return SpatialAttention(
        query_size=config.hidden_size,
        feature_size=config.feature_size,
        attention_size=config.attention_size,
        heads=config.attention_heads,
        additive=config.attention == "additive",
    )


def _sentinel(
    config: ModelConfig, attention: SpatialAttention | FixedContext, cell: Cell | StackedCells
) -> "AdaptiveAttention | None":
    if not config.sentinel or isinstance(attention, FixedContext):
        return None
    from captioner.model.sentinel import AdaptiveAttention

    return AdaptiveAttention(
        attention=attention,
        memory_part=cell.memory_part,
        hidden_size=config.hidden_size,
        embedding_size=config.embedding_size,
        feature_size=config.feature_size,
        attention_size=config.attention_size,
    )


def _attention_cell(config: ModelConfig) -> "AttentionCell | None":
    if not config.top_down:
        return None
    from captioner.model.top_down import AttentionCell

    return AttentionCell(cell=_cell(config), feature_size=config.feature_size)


def _cell(config: ModelConfig) -> Cell | StackedCells:
    return make_cell(
        config.cell,
        hidden_size=config.hidden_size,
        layers=config.layers,
        dropout=config.hidden_dropout,
    )
