"""From features to captions: beam search or sampling over the decoder's step.

In: a decoder and features (B, N, D). Out: hypotheses (token ids, probabilities, weights), which
become the Caption that users get; Answer is here too.
"""
