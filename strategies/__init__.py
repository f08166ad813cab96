"""The Flower strategy that runs the methods, and what it is made of."""
