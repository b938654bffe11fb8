"""From features to captions: beam search or sampling over the step that a runtime computes.

In: features (B, N, D) and a Runtime (runtime), such as torch (torch_runtime). Out: hypotheses
(token ids, probabilities, weights), which become the Caption that users get. From features and a
question to an Answer (answers), and from features and given captions to how well they fit
(likelihood). All but torch_runtime and likelihood is written over arrays, without torch.
"""
