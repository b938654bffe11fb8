"""The smallest captioner: one picture and one word, written letter by letter.

    python benchmarks/hello.py --cell rnn

The character model with which lectures start (one input, then "h", "e", "l", "l", "o", END), made
of the captioner's parts: a vocabulary of four letters, a recurrent cell of eight units and no
attention. The two l's are equal but have different next letters, so the hidden state has to
remember. After training, the word is sampled letter by letter.
"""

import argparse

import torch
from torch import Tensor

from captioner.data.padding import pad_captions
from captioner.data.vocabulary import END, NEVER_WRITTEN, START, CharacterVocabulary
from captioner.model.attention import FixedContext
from captioner.model.decoder import CaptionDecoder
from captioner.model.recurrence import make_cell
from captioner.training.losses import caption_loss


def train(text: str, cell: str, *, steps: int = 200) -> tuple[CaptionDecoder, CharacterVocabulary]:
    """Train a decoder on this text only, as the caption of `picture()`."""
    torch.manual_seed(0)
    vocabulary = CharacterVocabulary.build([text], min_count=1)
    decoder = CaptionDecoder(
        attention=FixedContext(),
        cell=make_cell(cell, hidden_size=8, layers=1, dropout=0.0),
        vocabulary_size=len(vocabulary),
        feature_size=3,
        embedding_size=6,
        context_gate=False,
        embedding_dropout=0.0,
        hidden_dropout=0.0,
    )
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=0.02)
    tokens, lengths = pad_captions([vocabulary.encode(text)])
    for _ in range(steps):
        forced = decoder(tokens, lengths, torch.tensor([0]), picture())
        loss = caption_loss(forced, label_smoothing=0.0, attention_penalty=0.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return decoder, vocabulary


def picture() -> Tensor:
    """Features (1, 1, 3) of the only picture."""
    return torch.ones(1, 1, 3)


@torch.no_grad()
def sample(
    decoder: CaptionDecoder, vocabulary: CharacterVocabulary, *, seed: int, longest: int = 20
) -> list[tuple[str, float]]:
    """Sample letters until END, each with its probability."""
    generator = torch.Generator().manual_seed(seed)
    features = picture()
    keys, state = decoder.attention.project(features), decoder.start(features)
    word, written = torch.tensor([START]), []
    while len(written) < longest:
        logits, state, _ = decoder.step(word, state, features, keys)
        logits[:, NEVER_WRITTEN] = float("-inf")
        probs = torch.softmax(logits[0], dim=-1)  # (V,)
        word = torch.multinomial(probs, 1, generator=generator)
        if int(word) == END:
            break
        written.append((vocabulary.words[int(word)], float(probs[word])))
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", default="hello")
    parser.add_argument("--cell", default="rnn", choices=("rnn", "gru", "lstm", "highway"))
    arguments = parser.parse_args()
    decoder, vocabulary = train(arguments.text, arguments.cell)
    for letter, probability in sample(decoder, vocabulary, seed=0):
        print(f"{letter}  {probability:.3f}")


if __name__ == "__main__":
    main()
