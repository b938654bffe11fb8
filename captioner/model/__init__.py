"""The network: an encoder and one attention, which the caption decoder and the answer head share.

In: pixels (B, 3, S, S) and token ids. Out: features (B, N, D), logits of words and of answers, and
where the model looked, (rows, N). checkpoint.py stores and loads all of it as one file.
"""
