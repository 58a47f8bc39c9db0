"""What servers of pages share: who may ask them, and the port that they listen on."""
