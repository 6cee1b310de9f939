"""Models on disk: manifests, the model store, and ONNX sessions."""
