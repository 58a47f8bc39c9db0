"""The exported folder: its graph, its readers and its runner."""
