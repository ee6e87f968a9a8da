"""The formats that are read: what each file says of its picture before decoding, and how it is decoded.

One module a format, or for several that Pillow reads just as they come. Each returns a `Header`, which
`shared.imaging.opening` judges and then has loaded.
"""
