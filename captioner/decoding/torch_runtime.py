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
from captioner.runtime import side_by_side


class TorchRows:
    """Rows of unfinished captions, as ActiveRows says, of pictures of these features (B, N, D)."""

    @torch.no_grad()
    def __init__(self, decoder: CaptionDecoder, features: Tensor) -> None:
        self.decoder = decoder
        attention = decoder.attention
        self.keys = attention.by_head(attention.project(features))  # (B, N, A), or by head
        self.features = attention.by_head(features)  # (B, N, D), or by head
        self.state: State = decoder.start(features)  # parts (B·G, H)

    @property
    def pictures(self) -> int:
        """The number of pictures."""
        return len(self.features)

    @torch.no_grad()
    def best(self, words: Ints, bans: Bans, count: int) -> Candidates:
        """The likeliest next words, `count` or all there are; banned ones have log prob -inf."""
        log_probs, weights = self._step(words, bans)  # (rows, V), (rows, N)
        best = log_probs.topk(min(count, log_probs.shape[1]), dim=1)  # (rows, C)
        return Candidates(*_to_arrays(best.values, best.indices, weights))

    @torch.no_grad()
    def draw(
        self, words: Ints, bans: Bans, counts: Ints, uniforms: Floats, config: DecodingConfig
    ) -> Drawn:
        """Draw counts (rows,) next words of each row by these uniform numbers."""
        log_probs, weights = self._step(words, bans)  # (rows, V), (rows, N)
        rows, drawn, times = _draw_words(
            _truncate(log_probs, config),
            torch.from_numpy(counts).unsqueeze(1),
            torch.from_numpy(uniforms),
        )
        chosen = log_probs[rows, drawn]  # (M,)
        return Drawn(*(x.cpu().numpy() for x in (rows, drawn, times, chosen, weights.float())))

    def select(self, rows: Ints, pictures: list[int]) -> None:
        """Continue with these rows, equally many for each of these pictures, in their order."""
        indices = torch.from_numpy(rows).to(self.features.device)
        self.state = tuple(part[indices] for part in self.state)
        if len(pictures) < len(self.keys):
            self.features = self.features[pictures]
            self.keys = self.keys[pictures]

    def _step(self, words: Ints, bans: Bans) -> tuple[Tensor, Tensor]:
        """Log probs (rows, V) of the next word, -inf where banned, and weights (rows, N)."""
        device = self.features.device
        logits, self.state, weights = self.decoder.step(
            torch.from_numpy(words).to(device), self.state, self.features, self.keys
        )
        logits = logits.float()
        logits[:, bans.everywhere] = float("-inf")
        if len(bans.rows):
            logits[torch.from_numpy(bans.rows), torch.from_numpy(bans.words)] = float("-inf")
        return torch.log_softmax(logits, dim=-1), weights


def _to_arrays(values: Tensor, indices: Tensor, weights: Tensor) -> tuple[Floats, Ints, Floats]:
    """Arrays of these, each (rows, ...), in one copy, since each copy from a GPU waits for it."""
    words, size = indices.int().view(torch.float32), values.shape[1]
    together = torch.cat([values, words, weights.float()], dim=1).cpu().numpy()
    return (
        together[:, :size],
        together[:, size : 2 * size].copy().view(np.int32).astype(np.int64),
        together[:, 2 * size :],
    )


def _draw_words(probs: Tensor, counts: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Draw counts (rows, 1) words from each row of probs (rows, V) by inverse transform sampling.

    uniforms: one number in (0, 1] per word, row by row. Returns the different pairs of row and word
    (both on the device of probs) and how often each was drawn, all (M,).
    """
    cumulative = probs.cumsum(dim=-1)  # (rows, V)
    rows, size = cumulative.shape
    wanted = torch.arange(int(counts.max())) < counts  # (rows, most)
    table = torch.zeros(wanted.shape).masked_scatter(wanted, uniforms)  # (rows, most)
    codes = torch.searchsorted(cumulative, table.to(cumulative.device) * cumulative[:, -1:])
    codes += size * torch.arange(rows, device=cumulative.device).unsqueeze(1)  # (rows, most)
    different, multiplicity = torch.unique(codes[wanted.to(codes.device)], return_counts=True)
    return different // size, different % size, multiplicity.cpu()


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
        inputs = torch.from_numpy(pixels).to(self.device)
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
            torch.from_numpy(words).to(features.device),
            lengths.tolist(),
            torch.from_numpy(pictures).to(features.device),
            features,
            head.attention.project(features),  # (B, N, A)
        )
        probs = torch.softmax(answered.logits.float(), dim=-1)  # (R, answers)
        return probs.cpu().numpy(), answered.weights.float().cpu().numpy()

    def map(self, batches: Iterable[Batch], work: Callable[[Batch], Done]) -> Iterator[Done]:
        """What `work` makes of each batch, in order, several at once on a processor."""
        return side_by_side(batches, work, torch.device(self.device))
