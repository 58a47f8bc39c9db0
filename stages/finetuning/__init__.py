"""Train a backbone on from its pretrained weights."""
