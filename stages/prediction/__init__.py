"""How new rows are classified with a trained model: checked and made ready as prepare does, then scored."""
