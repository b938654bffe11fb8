"""Every setting: frozen dataclasses with their bounds, and TOML in and out.

In: plain values, or a TOML file. Out, checked: ModelConfig, TrainingConfig and DecodingConfig,
which a checkpoint stores (settings), and DataConfig and RunConfig of a training run (run). Imports
no torch.
"""
