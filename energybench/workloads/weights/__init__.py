"""Files of pretrained weights, of images and of language alike: read, kept and checked."""
