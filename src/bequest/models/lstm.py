"""LSTM classifiers and language models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor, nn

from bequest.models.catalogue import MODELS, options_from
from bequest.models.sequence import TiedHead, check_sequence, last_word, padded_to, words_of


@dataclass(frozen=True)
class LSTMOptions:
    """Options of an LSTM.

    Attributes:
        padding: The padding token, on the right; default: that of the data.
        width: Features of the embedding and of every state.
        layers: LSTM layers.
        dropout: Between layers and before the head.
        input_dropout: On embeddings.
    """

    padding: int = 0
    width: int = 64
    layers: int = 2
    dropout: float = 0.0
    input_dropout: float = 0.0


@dataclass(frozen=True)
class LSTMClassifierOptions(LSTMOptions):
    """Options of an LSTM that classifies.

    Attributes:
        vocabulary: Token ids; default: those of the data.
    """

    vocabulary: int = 0


class LSTM(nn.Module):
    """An LSTM with logits from the state at the last word, or at every word.

    Args:
        vocabulary: Token ids.
        classes: Width of the logits.
        options: Sizes and rates.
        next_token: Logits at every word, with the weights of the embedding.
    """

    def __init__(self, vocabulary: int, classes: int, options: LSTMOptions, *, next_token: bool) -> None:
        super().__init__()
        width, layers = options.width, options.layers
        self.padding, self.next_token = options.padding, next_token
        self.embedding = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        self.enter = nn.Dropout(options.input_dropout)
        between = options.dropout if layers > 1 else 0.0  # PyTorch warns about dropout with a single layer
        self.states = nn.LSTM(width, width, layers, batch_first=True, dropout=between)
        self.leave = nn.Dropout(options.dropout)
        self.head = TiedHead(self.embedding, width, project=True) if next_token else nn.Linear(width, classes)

    def forward(self, x: Int[Tensor, "n l"]) -> Float[Tensor, "n ..."]:
        """Logits (N, C), or (N, L, C) of a language model; padding after the last word has no effect."""
        words = words_of(x, self.padding)
        states, _ = self.states(self.enter(self.embedding(words)))
        if not self.next_token:
            states = last_word(states, words, self.padding)
        logits: Tensor = self.head(self.leave(states))
        return padded_to(logits, x.shape[1]) if self.next_token else logits


@MODELS.register("lstm")
@options_from(LSTMClassifierOptions)
def lstm(input_shape: Sequence[int], classes: int, options: LSTMClassifierOptions) -> LSTM:
    """LSTM that classifies a sentence by its state at the last word.

    Args:
        input_shape: (L,), tokens of one sentence.
        classes: Width of the logits.
        options: Each field of :class:`LSTMClassifierOptions` as a keyword.

    Raises:
        ModelError: If one input is not a token sequence.
    """
    check_sequence(input_shape, options.vocabulary, "lstm")
    return LSTM(options.vocabulary, classes, options, next_token=False)


@MODELS.register("lstm_lm")
@options_from(LSTMOptions)
def lstm_lm(input_shape: Sequence[int], classes: int, options: LSTMOptions) -> LSTM:
    """LSTM language model with tied embeddings; ``classes`` is the vocabulary. See :func:`lstm`."""
    check_sequence(input_shape, classes, "lstm_lm")
    return LSTM(classes, classes, options, next_token=True)
