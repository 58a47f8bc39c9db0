"""The tables that pass between stages, as Parquet shards, and the images in them."""
