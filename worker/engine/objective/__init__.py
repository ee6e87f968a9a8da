"""What is minimised: the losses and how they are weighed."""
