"""What several test modules need."""

from pathlib import Path

import pytest

QUESTION_WORDS = ("color", "dog", "is", "it", "many", "the", "there", "what")
ANSWERS = ("yes", "no", "red", "2", "night stand")
WORDS = ("a", "cat", "cup", "dog", "of", "on", "red", "sits", "table", "the")


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole checkpoint with random weights, made in a moment: for tests of all around it."""
    import torch

    from captioner.checkpoint import Checkpoint, save
    from captioner.config import DecodingConfig, ModelConfig, TrainingConfig
    from captioner.model import CaptioningModel
    from captioner.vocabulary import Vocabulary

    torch.manual_seed(7)
    config = ModelConfig(
        encoder="mobilenet_v2",
        encoder_stage="features.3",
        image_size=64,
        feature_size=14,
        attention_size=22,
        attention_heads=2,
        embedding_size=13,
        hidden_size=17,
        answer_size=29,
    )
    model = CaptioningModel(config, Vocabulary(WORDS), Vocabulary(QUESTION_WORDS), ANSWERS)
    # As initialised, it says the same of every picture: let batch norm see a few, and be bold.
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.train().momentum = None
    with torch.no_grad():
        model.encoder(torch.randn(20, 3, 1, 1) + 0.5 * torch.randn(20, 3, 64, 64))
        for weights in model.decoder.parameters():
            weights.mul_(5)
        for name, weights in model.answers.named_parameters():
            weights.mul_(1 if name.startswith("attention.") else 3)
    model.eval()
    file = tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors"
    save(Checkpoint(model, TrainingConfig(), DecodingConfig(max_words=7)), file)
    return file
