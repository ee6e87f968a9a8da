"""Files of jobs: the store that all share, and writing files whole."""
