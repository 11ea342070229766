"""Transformer classifiers and language models; the block may be shared over depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from bequest.errors import ModelError
from bequest.models.catalogue import MODELS, options_from
from bequest.models.sequence import TiedHead, check_sequence, last_word, padded_to, words_of

POSITIONS = 1024
EXPANSION = 4


class Block(nn.Module):
    """Self-attention and a feed-forward layer, each with a LayerNorm before it and a residual connection."""

    def __init__(self, width: int, heads: int, dropout: float, attention_dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attend = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.expand = nn.Linear(width, EXPANSION * width)
        self.contract = nn.Linear(EXPANSION * width, width)
        self.drop, self.drop_weights = nn.Dropout(dropout), nn.Dropout(attention_dropout)

    def forward(self, x: Float[Tensor, "n l f"], seen: Bool[Tensor, "n 1 l l"]) -> Float[Tensor, "n l f"]:
        """``x`` after one block; a position attends to those that ``seen`` marks."""
        query, key, value = (
            self.attend(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        )
        # The query is scaled, not the scores, which have L / d times as many numbers.
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
        weights = self.drop_weights(scores.masked_fill(~seen, -torch.inf).softmax(-1))
        x = x + self.drop(self.mix((weights @ value).transpose(1, 2).flatten(2)))
        added: Tensor = self.drop(self.contract(self.expand(self.norm2(x)).relu()))
        return x + added


@dataclass(frozen=True)
class TransformerOptions:
    """Options of a Transformer over tokens.

    Attributes:
        padding: The padding token, on the right; default: that of the data.
        width: Features of a position.
        layers: Blocks, or passes through the one block that is shared.
        heads: Of the attention; divides ``width``.
        dropout: On the outputs of attention and feed-forward layers.
        attention_dropout: On attention weights.
        input_dropout: On embeddings.
        positions: The longest sequence.
    """

    padding: int = 0
    width: int = 64
    layers: int = 3
    heads: int = 4
    dropout: float = 0.0
    attention_dropout: float = 0.0
    input_dropout: float = 0.0
    positions: int = POSITIONS


@dataclass(frozen=True)
class TransformerClassifierOptions(TransformerOptions):
    """Options of a Transformer that classifies.

    Attributes:
        vocabulary: Token ids; default: those of the data.
    """

    vocabulary: int = 0


class Transformer(nn.Module):
    """Pre-norm Transformer over token sequences, with learned positions.

    Args:
        vocabulary: Token ids.
        classes: Width of the logits.
        options: Sizes and rates.
        causal: A position attends only to itself and those before it, and the last word's state is
            classified; else every word attends to every word, and a learned first token is classified.
        shared: All passes share one block.
        next_token: Logits at every word, with the weights of the embedding: of the next word if causal,
            else of the masked word.
    """

    def __init__(
        self,
        vocabulary: int,
        classes: int,
        options: TransformerOptions,
        *,
        causal: bool,
        shared: bool = False,
        next_token: bool = False,
    ) -> None:
        super().__init__()
        width, layers, heads = options.width, options.layers, options.heads
        if width < 1 or layers < 1:
            raise ModelError(
                "a Transformer needs at least one block",
                expected="width and layers of 1 or more",
                got=(width, layers),
            )
        if heads < 1 or width % heads:
            raise ModelError("heads must divide the width", expected=f"a multiple of {heads}", got=width)
        self.padding, self.causal, self.next_token, self.passes = options.padding, causal, next_token, layers
        self.embedding = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(options.positions, width)
        for table in (self.embedding, self.positions):
            nn.init.normal_(table.weight, std=width**-0.5)
        self.first = None if causal or next_token else nn.Parameter(torch.randn(width) * width**-0.5)
        self.enter = nn.Dropout(options.input_dropout)
        self.blocks = nn.ModuleList(
            Block(width, heads, options.dropout, options.attention_dropout)
            for _ in range(1 if shared else layers)
        )
        self.norm = nn.LayerNorm(width)
        self.head = (
            TiedHead(self.embedding, width, project=False) if next_token else nn.Linear(width, classes)
        )

    def forward(self, x: Int[Tensor, "n l"]) -> Float[Tensor, "n ..."]:
        """Logits (N, C), or (N, L, C) of a language model; padding after the last word has no effect.

        Raises:
            ModelError: If a sequence is longer than there are positions.
        """
        words = words_of(x, self.padding)
        states = self._embedded(words)
        seen = self._seen(words)
        for turn in range(self.passes):
            states = self.blocks[turn % len(self.blocks)](states, seen)
        states = self.norm(states)
        if self.next_token:
            return padded_to(self.head(states), x.shape[1])
        logits: Tensor = self.head(last_word(states, words, self.padding) if self.causal else states[:, 0])
        return logits

    def _embedded(self, words: Tensor) -> Tensor:
        if words.shape[1] > self.positions.num_embeddings:
            raise ModelError(
                "a sequence is too long",
                expected=f"at most {self.positions.num_embeddings} tokens",
                got=words.shape[1],
                remedy="raise the model's option positions",
            )
        states = self.embedding(words) + self.positions.weight[: words.shape[1]]
        if self.first is not None:
            states = torch.cat([self.first.expand(words.shape[0], 1, -1), states], 1)
        entered: Tensor = self.enter(states)
        return entered

    def _seen(self, words: Tensor) -> Tensor:
        """Which position attends to which, bool (N, 1, L, L)."""
        is_word = words != self.padding
        if self.first is not None:
            is_word = torch.cat([torch.ones_like(is_word[:, :1]), is_word], 1)
        length = is_word.shape[1]
        # Every position attends to itself: with everything masked, as in a row of padding, softmax is NaN.
        itself = torch.eye(length, dtype=torch.bool, device=words.device)
        seen = is_word[:, None, None, :].expand(-1, 1, length, -1)
        return (seen.tril() if self.causal else seen) | itself


@MODELS.register("transformer")
@options_from(TransformerClassifierOptions)
def transformer(
    input_shape: Sequence[int], classes: int, options: TransformerClassifierOptions
) -> Transformer:
    """Transformer that classifies a sentence: bidirectional, by a learned token put before the words.

    Args:
        input_shape: (L,), tokens of one sentence.
        classes: Width of the logits.
        options: Each field of :class:`TransformerClassifierOptions` as a keyword.

    Raises:
        ModelError: If one input is not a token sequence, or the heads do not divide the width.
    """
    check_sequence(input_shape, options.vocabulary, "transformer")
    return Transformer(options.vocabulary, classes, options, causal=False)


@MODELS.register("transformer_seq")
@options_from(TransformerClassifierOptions)
def transformer_seq(
    input_shape: Sequence[int], classes: int, options: TransformerClassifierOptions
) -> Transformer:
    """Causal Transformer that classifies by the state at the last word.

    See :func:`transformer`.
    """
    check_sequence(input_shape, options.vocabulary, "transformer_seq")
    return Transformer(options.vocabulary, classes, options, causal=True)


@MODELS.register("utransformer_seq")
@options_from(TransformerClassifierOptions)
def utransformer_seq(
    input_shape: Sequence[int], classes: int, options: TransformerClassifierOptions
) -> Transformer:
    """As :func:`transformer_seq`, with one block for all passes: recurrence in depth."""
    check_sequence(input_shape, options.vocabulary, "utransformer_seq")
    return Transformer(options.vocabulary, classes, options, causal=True, shared=True)


@MODELS.register("transformer_lm")
@options_from(TransformerOptions)
def transformer_lm(input_shape: Sequence[int], classes: int, options: TransformerOptions) -> Transformer:
    """Causal Transformer language model with tied embeddings; ``classes`` is the vocabulary."""
    check_sequence(input_shape, classes, "transformer_lm")
    return Transformer(classes, classes, options, causal=True, next_token=True)


@MODELS.register("transformer_mlm")
@options_from(TransformerOptions)
def transformer_mlm(input_shape: Sequence[int], classes: int, options: TransformerOptions) -> Transformer:
    """Masked language model: a bidirectional Transformer with logits at every token; tied embeddings."""
    check_sequence(input_shape, classes, "transformer_mlm")
    return Transformer(classes, classes, options, causal=False, next_token=True)
