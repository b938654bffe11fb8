"""What decoding asks of a runtime, computed by torch: on a processor or a GPU."""

import copy
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from captioner.config.settings import DecodingConfig
from captioner.decoding.runtime import Bans, Batch, Candidates, Done, Drawn, Features, Floats, Ints
from captioner.model.captioning_model import CaptioningModel
from captioner.model.decoder import CaptionDecoder
from captioner.model.recurrence import State
from captioner.runtime import move, move_together, side_by_side

_NONE = np.empty(0, np.int64)


class TorchRows:
    """Rows of unfinished captions, as ActiveRows says, of pictures of these features (B, N, D).

    For each word, all that it needs is moved to the device at once, and its results come back at
    once, since each copy from a GPU waits for it.
    """

    @torch.no_grad()
    def __init__(self, decoder: CaptionDecoder, features: Tensor) -> None:
        self.decoder = decoder
        attention = decoder.attention
        self.keys = attention.by_head(attention.project(features))  # (B, N, A), or by head
        self.features = attention.by_head(features)  # (B, N, D), or by head
        self.state: State = decoder.start(features)  # parts (B·G, H)
        self.pictures = len(features)
        self.selected: Ints = _NONE  # the rows that the next step continues; none: all as they are
        self.continued: list[int] = []  # its pictures, likewise

    @torch.no_grad()
    def best(self, words: Ints, bans: Bans, count: int) -> Candidates:
        """The likeliest next words, `count` or all there are; banned ones have log prob -inf."""
        log_probs, weights, _ = self._step(words, bans)  # (rows, V), (rows, N)
        best = log_probs.topk(min(count, log_probs.shape[1]), dim=1)  # (rows, C)
        return Candidates(*_to_arrays(best.values, best.indices, weights))

    @torch.no_grad()
    def draw(
        self, words: Ints, bans: Bans, counts: Ints, uniforms: Floats, config: DecodingConfig
    ) -> Drawn:
        """Draw counts (rows,) next words of each row by these uniform numbers."""
        wanted = np.arange(counts.max()) < counts[:, None]  # (rows, most)
        table = np.zeros(wanted.shape, np.float32)
        table[wanted] = uniforms
        log_probs, weights, numbers = self._step(words, bans, table)  # (rows, V), (rows, N)
        cumulative = _truncate(log_probs, config).cumsum(dim=-1)  # (rows, V)
        drawn = torch.searchsorted(cumulative, numbers * cumulative[:, -1:])  # (rows, most)
        chosen, indices, weights_there = _to_arrays(log_probs.gather(1, drawn), drawn, weights)
        size = log_probs.shape[1]
        codes = (indices + size * np.arange(len(indices))[:, None])[wanted]  # (draws,)
        different, first, times = np.unique(codes, return_index=True, return_counts=True)  # (M,)
        return Drawn(
            different // size, different % size, times, chosen[wanted][first], weights_there
        )

    def select(self, rows: Ints, pictures: list[int]) -> None:
        """Continue with these rows, equally many for each of these pictures, in their order."""
        assert not len(self.selected)
        self.selected = rows
        self.continued = pictures if len(pictures) < self.pictures else []
        self.pictures = len(pictures)

    def _step(
        self, words: Ints, bans: Bans, table: Floats | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Log probs (rows, V) of the next word, -inf where banned, and weights (rows, N).

        table: of numbers that are wanted on the device; the third result.
        """
        numbers = np.empty(0, np.float32) if table is None else table
        arrays = (
            words,
            np.array(bans.everywhere),
            bans.rows,
            bans.words,
            self.selected,
            np.array(self.continued, np.int64),
            numbers.view(np.int32).astype(np.int64),
        )
        read, nowhere, rows, banned, selected, continued, bits = move_together(
            [torch.from_numpy(array) for array in arrays], self.features.device
        )
        if len(self.selected):
            self.state = tuple(part[selected] for part in self.state)
        if self.continued:
            self.features, self.keys = self.features[continued], self.keys[continued]
        self.selected, self.continued = _NONE, []
        logits, self.state, weights = self.decoder.step(read, self.state, self.features, self.keys)
        logits = logits.float()
        logits.index_fill_(1, nowhere, float("-inf"))
        if len(bans.rows):
            logits[rows, banned] = float("-inf")
        return torch.log_softmax(logits, dim=-1), weights, bits.int().view(torch.float32)


def _to_arrays(values: Tensor, indices: Tensor, weights: Tensor) -> tuple[Floats, Ints, Floats]:
    """Arrays of these, each (rows, ...), in one copy."""
    words, size = indices.int().view(torch.float32), values.shape[1]
    together = torch.cat([values, words, weights.float()], dim=1).cpu().numpy()
    return (
        together[:, :size],
        together[:, size : 2 * size].copy().view(np.int32).astype(np.int64),
        together[:, 2 * size :],
    )


def _truncate(log_probs: Tensor, config: DecodingConfig) -> Tensor:
    """Probabilities (rows, V) after temperature, top-k, then top-p (Holtzman et al. 2020)."""
    log_probs = log_probs / config.temperature  # (rows, V)
    if config.top_k:
        best = log_probs.topk(min(config.top_k, log_probs.shape[1]), dim=-1).values  # (rows, top_k)
        log_probs = log_probs.masked_fill(log_probs < best[:, -1:], float("-inf"))
    if config.top_p < 1:
        ordered, order = torch.log_softmax(log_probs, dim=-1).sort(dim=-1, descending=True)
        before = ordered.exp().cumsum(-1) - ordered.exp()  # (rows, V)
        outside = torch.zeros_like(before, dtype=torch.bool)
        outside.scatter_(1, order, before >= config.top_p)
        log_probs = log_probs.masked_fill(outside, float("-inf"))
    return torch.softmax(log_probs, dim=-1)


class TorchRuntime:
    """A model as torch computes it on a device, as Runtime says; the model given stays as it is."""

    def __init__(
        self, model: CaptioningModel, device: torch.device, precision: str = "float32"
    ) -> None:
        self.model: CaptioningModel = copy.deepcopy(model).to(device)
        self.model.encoder.fold_batch_norms()
        if self.model.decoder is not None and device.type == "cpu":
            self.model.decoder.store_transposed()
        self.device: torch.device | str = device
        self.precision = precision
        self.config = model.config
        self.grid = model.encoder.grid
        self.vocabulary = model.vocabulary
        self.question_vocabulary = model.question_vocabulary
        self.answer_texts = model.answer_texts

    @torch.no_grad()
    def encode(self, pixels: Floats) -> Tensor:
        """Features (B, N, D) of pixels (B, 3, S, S), float32 whatever the encoder computes in."""
        inputs = move(torch.from_numpy(pixels), torch.device(self.device))
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            return self.model.encoder(inputs).float()

    def start(self, features: Features) -> TorchRows:
        """The decoder before the first word of pictures of these features (B, N, D)."""
        assert isinstance(features, Tensor)
        return TorchRows(self.model.caption_parts()[0], features)

    @torch.no_grad()
    def answer(
        self, words: Ints, lengths: Ints, pictures: Ints, features: Features
    ) -> tuple[Floats, Floats]:
        """The probability of every answer (R, answers) to R questions, and weights (R, G, N)."""
        assert isinstance(features, Tensor)
        head, _ = self.model.answer_parts()
        answered = head(
            torch.from_numpy(words),
            lengths.tolist(),
            torch.from_numpy(pictures),
            features,
            head.attention.project(features),  # (B, N, A)
        )
        probs, weights = torch.softmax(answered.logits.float(), dim=-1), answered.weights.float()
        together = torch.cat([probs, weights.flatten(1)], dim=1).cpu().numpy()
        answers = probs.shape[1]
        return together[:, :answers], together[:, answers:].reshape(weights.shape)

    def map(self, batches: Iterable[Batch], work: Callable[[Batch], Done]) -> Iterator[Done]:
        """What `work` makes of each batch, in order, several at once on a processor."""
        return side_by_side(batches, work, torch.device(self.device))
