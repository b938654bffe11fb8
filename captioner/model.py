"""The whole model: an encoder, one attention module and the decoder that uses it."""

from torch import nn

from captioner.attention import FixedContext, SpatialAttention
from captioner.config import ModelConfig
from captioner.decoder import CaptionDecoder
from captioner.encoder import Encoder
from captioner.recurrence import make_cell
from captioner.vocabulary import Vocabulary


class CaptioningModel(nn.Module):
    """Encoder and decoder built from a ModelConfig, the one place where it becomes modules.

    `model.encoder(pictures)` gives the features that `model.decoder` reads.
    """

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.config = config
        self.vocabulary = vocabulary
        self.encoder = Encoder(
            backbone=config.encoder,
            last_stage=config.encoder_stage,
            image_size=config.image_size,
            feature_size=config.feature_size,
            feature_dropout=config.feature_dropout,
        )
        self.decoder = CaptionDecoder(
            attention=_attention(config),
            cell=make_cell(
                config.cell,
                hidden_size=config.hidden_size,
                layers=config.layers,
                dropout=config.hidden_dropout,
            ),
            vocabulary_size=len(vocabulary),
            feature_size=config.feature_size,
            embedding_size=config.embedding_size,
            context_gate=config.context_gate,
            embedding_dropout=config.embedding_dropout,
            hidden_dropout=config.hidden_dropout,
        )


def _attention(config: ModelConfig) -> SpatialAttention | FixedContext:
    if config.attention == "none":
        return FixedContext()
    return SpatialAttention(
        query_size=config.hidden_size,
        feature_size=config.feature_size,
        attention_size=config.attention_size,
        heads=config.attention_heads if config.attention == "dot" else None,
    )
