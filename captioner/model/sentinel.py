"""The adaptive sentinel: attention that may look away from the picture."""

import torch
from torch import Tensor, nn

from captioner.model.attention import SpatialAttention
from captioner.model.recurrence import State


class AdaptiveAttention(nn.Module):
    """Spatial attention in which what the cell remembers competes with the locations.

    The sentinel s = sigmoid(W_x E y + W_h h) * tanh(m) (Lu et al. 2017, equations 9 and 10) gets a
    score as the locations do, with a key W_s s in place of theirs, in the one softmax over both;
    its weight b is the last of them (equation 12). Then the context is b W_v s plus the features,
    whose weights sum to 1 - b (equation 11). With several heads each has a weight b of its own.

    Lu et al. look after the word was read, with h_t and m_t, and bring the sentinel to the size of
    the features from the start. Here h and m, of the cell that looks, are those before attention,
    and W_v does that. m is the LSTM's memory; the other cells have none but h, which serves.
    """

    def __init__(
        self,
        *,
        attention: SpatialAttention,
        memory_part: int,
        hidden_size: int,
        embedding_size: int,
        feature_size: int,
        attention_size: int,
    ) -> None:
        super().__init__()
        self.attention = attention
        self.memory_part = memory_part
        self.sizes = [hidden_size, attention_size, feature_size]
        self.word_gate = nn.Linear(embedding_size, hidden_size)
        self.hidden_gate = nn.Linear(hidden_size, hidden_size, bias=False)
        self.key = nn.Linear(hidden_size, attention_size)
        self.value = nn.Linear(hidden_size, feature_size, bias=False)

    def query(self, embedded: Tensor, query_state: State) -> Tensor:
        """Hidden state and, behind it, the sentinel's key and value: (rows, H + A + D).

        embedded: the words E y (rows, E) that were read; query_state: of the cell that asks.
        """
        hidden, memory = query_state[0], query_state[self.memory_part]
        gate = torch.sigmoid(self.word_gate(embedded) + self.hidden_gate(hidden))
        sentinel = gate * torch.tanh(memory)
        return torch.cat([hidden, self.key(sentinel), self.value(sentinel)], dim=-1)

    def forward(self, query: Tensor, keys: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Context (B·G, D) and weights (B·G, N) of the locations, which sum to 1 - b.

        query: (B·G, H + A + D) from `query`; keys, features: as SpatialAttention takes them.
        """
        hidden, key, value = query.split(self.sizes, dim=-1)
        return self.attention(hidden, keys, features, sentinel=(key, value))
