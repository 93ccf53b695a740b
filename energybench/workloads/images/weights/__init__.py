"""Pretrained weights of image classifiers: named, found, or made by pretraining."""
