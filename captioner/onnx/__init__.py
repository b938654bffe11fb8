"""The model as ONNX graphs: written by torch, computed by ONNX Runtime without it.

In: a checkpoint (export). Out: graphs beside it, which refer to its weights, and a description of
them (graph_files). OnnxRuntime (runtime) then does what decoding asks of a runtime. docs/onnx.md
says how to use the graphs without captioner.
"""
