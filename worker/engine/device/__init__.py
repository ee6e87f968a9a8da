"""The device: what it is, how much memory it has, and how runs are planned to fit."""
