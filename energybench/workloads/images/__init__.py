"""The task of image classification: data sets, networks and their weights."""
