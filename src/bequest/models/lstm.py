"""LSTM classifiers and language models."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float, Int
from torch import Tensor, nn

from bequest.models.catalogue import MODELS
from bequest.models.sequence import TiedHead, check_sequence, last_word, padded_to, words_of


class LSTM(nn.Module):
    """Reads word by word; the answer is made of the state at the last word, or at every word.

    Args:
        vocabulary: Token ids.
        classes: Width of the logits.
        width: Of the embedding and of every state.
        layers: LSTM layers.
        dropout: Between layers and on what leaves the last.
        input_dropout: On embeddings.
        padding: The token that fills rows up, on the right.
        next_token: Answer at every word, through the embedding's own weights.
    """

    def __init__(
        self,
        vocabulary: int,
        classes: int,
        *,
        width: int,
        layers: int,
        dropout: float,
        input_dropout: float,
        padding: int,
        next_token: bool,
    ) -> None:
        super().__init__()
        self.padding, self.next_token = padding, next_token
        self.embedding = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        self.enter = nn.Dropout(input_dropout)
        between = dropout if layers > 1 else 0.0
        self.states = nn.LSTM(width, width, layers, batch_first=True, dropout=between)
        self.leave = nn.Dropout(dropout)
        self.head = TiedHead(self.embedding, width, project=True) if next_token else nn.Linear(width, classes)

    def forward(self, x: Int[Tensor, "n l"]) -> Float[Tensor, "n ..."]:
        """Logits (N, C), or (N, L, C) of a language model; what is behind the last word changes nothing."""
        words = words_of(x, self.padding)
        states, _ = self.states(self.enter(self.embedding(words)))
        if not self.next_token:
            states = last_word(states, words, self.padding)
        logits: Tensor = self.head(self.leave(states))
        return padded_to(logits, x.shape[1]) if self.next_token else logits


@MODELS.register("lstm")
def lstm(
    input_shape: Sequence[int],
    classes: int,
    *,
    vocabulary: int = 0,
    padding: int = 0,
    width: int = 64,
    layers: int = 2,
    dropout: float = 0.0,
    input_dropout: float = 0.0,
) -> LSTM:
    """LSTM that classifies a sentence by its state at the last word.

    Args:
        input_shape: (L,), tokens of one sentence.
        classes: Width of the logits.
        vocabulary: Token ids; default: those of the data.
        padding: The token that fills rows up; default: that of the data.
        width: Of embedding and states.
        layers: LSTM layers.
        dropout: Between layers and before the head.
        input_dropout: On embeddings.

    Raises:
        ModelError: If one input is no token sequence.
    """
    check_sequence(input_shape, vocabulary, "lstm")
    return LSTM(
        vocabulary,
        classes,
        width=width,
        layers=layers,
        dropout=dropout,
        input_dropout=input_dropout,
        padding=padding,
        next_token=False,
    )


@MODELS.register("lstm_lm")
def lstm_lm(
    input_shape: Sequence[int],
    classes: int,
    *,
    padding: int = 0,
    width: int = 64,
    layers: int = 2,
    dropout: float = 0.0,
    input_dropout: float = 0.0,
) -> LSTM:
    """LSTM language model with tied embeddings; ``classes`` is the vocabulary. See :func:`lstm`."""
    check_sequence(input_shape, classes, "lstm_lm")
    return LSTM(
        classes,
        classes,
        width=width,
        layers=layers,
        dropout=dropout,
        input_dropout=input_dropout,
        padding=padding,
        next_token=True,
    )
