"""Every setting: frozen dataclasses with their bounds, and TOML in and out.

In: plain values, or a TOML file. Out: ModelConfig, TrainingConfig, DecodingConfig and DataConfig,
checked. Imports no torch.
"""
