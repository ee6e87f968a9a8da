"""Pictures: decoding within bounds, encoding, colours and pixels."""
