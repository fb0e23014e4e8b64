"""An X-ray system's geometry from the image of a phantom with balls."""
