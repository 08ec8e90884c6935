"""Whisper: the encoder on ONNX Runtime or TensorRT, and the transcriber."""
