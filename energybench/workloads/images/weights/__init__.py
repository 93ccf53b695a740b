"""Pretrained weights of image classifiers: found, made by pretraining, cached and loaded."""
