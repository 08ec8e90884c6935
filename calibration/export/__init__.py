"""From torch to ONNX, safetensors and CTranslate2."""
