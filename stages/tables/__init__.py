"""The tables that stages pass on, as Parquet shards, and the images in them."""
