"""A trained model as a folder that runs with onnxruntime alone: its graph, its preprocessing as data, and a runner."""
