"""Train a pretrained backbone further."""
