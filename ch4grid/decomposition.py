"""Which part of a spread comes from noise, drivers, towers, the model, its structure and the area."""
