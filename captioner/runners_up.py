"""What else a caption's words could have been: one teacher-forced pass over the whole caption."""

from collections.abc import Sequence

import torch
from torch.nn.utils.rnn import pad_sequence

from captioner.api import Captioner
from captioner.config import DecodingConfig
from captioner.replies import Caption, Word
from captioner.vocabulary import PADDING, START, CharacterVocabulary
from captioner.writing import Member, mean_logits, next_log_probabilities

RunnersUp = tuple[tuple[Word, ...], ...]  # the other words in each word's place, likeliest first


@torch.no_grad()
def runners_up(
    model: Captioner,
    members: Sequence[Member],
    captions: Sequence[Caption],
    pictures: Sequence[int],
    decoding: DecodingConfig,
    *,
    count: int = 4,
) -> list[RunnersUp]:
    """The likeliest other words in the place of each word of each caption.

    members: who wrote the captions; pictures: which row of their features (B, N, D) each is of;
    decoding: how they were found, for its bans hold here too. A runner-up may be likelier than the
    word that was written, and "<end>" can be one. A model that writes characters has none, for its
    letters are no words.
    """
    _, vocabulary = model.model.writer()
    if not captions or isinstance(vocabulary, CharacterVocabulary):
        return [tuple(() for _ in caption.words) for caption in captions]
    lines = [torch.tensor([START, *vocabulary.encode(caption.text)]) for caption in captions]
    device = members[0].features.device
    forced = [
        member.decoder(
            pad_sequence(lines, batch_first=True, padding_value=PADDING).to(device),
            [len(line) - 1 for line in lines],
            torch.tensor(pictures, device=device),
            member.features,
        )
        for member in members
    ]
    # The order of the words is the captions' alone, so that each member has the same.
    means, places_of = mean_logits([one.logits for one in forced]), forced[0].captions
    found = []
    for number, line in enumerate(lines):
        logits, written = means[places_of == number], line[1:].to(device)
        places = []
        for place, token in enumerate(line[1:-1].tolist()):
            chances = next_log_probabilities(
                logits[place : place + 1], written[None, :place], decoding.max_words,
                decoding.block_ngrams,
            )[0]  # fmt: skip
            chances[token] = float("-inf")
            best = chances.exp().topk(min(count, len(chances)))
            places.append(
                tuple(
                    Word(vocabulary.words[other], chance)
                    for chance, other in zip(*(part.tolist() for part in best), strict=True)
                    if chance > 0
                )
            )
        found.append(tuple(places))
    return found
