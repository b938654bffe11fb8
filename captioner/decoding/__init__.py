"""From features to captions: beam search or sampling over the decoder's step.

In: a decoder and features (B, N, D). Out: hypotheses (token ids, probabilities, weights), which
become the Caption that users get. From features and a question to an Answer (answers), and from
features and given captions to how well they fit (likelihood).
"""
