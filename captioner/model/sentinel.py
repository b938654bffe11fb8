"""The adaptive sentinel: attention that can ignore the picture."""

import torch
from torch import Tensor, nn

from captioner.model.attention import SpatialAttention
from captioner.model.recurrence import State


class AdaptiveAttention(nn.Module):
    """Spatial attention in which a sentinel, made from the cell's memory, competes with locations.

    The sentinel s = sigmoid(W_x E y + W_h h) * tanh(m) (Lu et al. 2017, equations 9 and 10) is
    scored like a location with the key W_s s, in one softmax with the locations; its weight is b
    (equation 12). The context is b W_v s plus the weighted features, whose weights sum to 1 - b
    (equation 11). With several heads, each has its own b.

    Lu et al. attend after the word is read, with h_t and m_t, and their sentinel has the size of
    the features. Here h and m are those of the query's cell before attention, and W_v projects to
    the size of the features. m is the memory of an LSTM; other cells use h for it.
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
        """The hidden state, followed by the sentinel's key and value: (rows, H + A + D).

        embedded: the words E y (rows, E); query_state: that of the cell that makes the query.
        """
        hidden, memory = query_state[0], query_state[self.memory_part]  # (rows, H) each
        gate = torch.sigmoid(self.word_gate(embedded) + self.hidden_gate(hidden))  # (rows, H)
        sentinel = gate * torch.tanh(memory)  # (rows, H)
        return torch.cat([hidden, self.key(sentinel), self.value(sentinel)], dim=-1)

    def forward(self, query: Tensor, keys: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Context (B·G, D) and weights (B·G, N) of the locations, which sum to 1 - b.

        query: (B·G, H + A + D) from `query`; keys, features: see SpatialAttention.
        """
        hidden, key, value = query.split(self.sizes, dim=-1)  # (B·G, H), (B·G, A), (B·G, D)
        return self.attention(hidden, keys, features, sentinel=(key, value))
