"""How good the pictures are: pairs of photograph and painting, painted by the engine and judged apart from it.

`make judge` runs it, for minutes, and writes the pictures to `build/judge`. Two distances, by VGG19 as trained on
ImageNet, say how like its style and its content a picture is; whether it is a good picture, eyes must say.
"""
