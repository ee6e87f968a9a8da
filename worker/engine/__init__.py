"""The engine: neural style transfer. Arrays and params in, chunks of steps out; nothing of jobs, queues or databases.

Read `stylize` first. Imports point downwards only:

- `stylize`: scales, and what happens when memory runs out
- `image_group`, `image_state`: images that share compiled calls; one image's progress
- `compute`: targets, and steps on whole images or tile by tile
- `optimizers`: Adam, L-BFGS
- `objective`: the losses and their weighted sum
- `vgg`, `pictures`, `device`: features and weights; masks, colours and sizes; memory and plans
- `types`: what goes in and comes out

Importing this package does not import TensorFlow; `stylize` does.
"""
